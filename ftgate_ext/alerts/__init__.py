"""What got worse, told once to whoever should know: a chat, the CI summary, an exit code.

find     run folder -> alerts
seen     which of them were told before
wording  alerts -> Slack's blocks, Markdown, plain lines
webhook  one POST, with patience
stage    all of it for one run
"""
