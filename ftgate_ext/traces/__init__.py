"""A finished run as OpenTelemetry traces: built from its files, so that asking models pays nothing.

names    what the conventions call things, and which version of them
spans    a trace in memory, with ids that are the same every time
build    run folder -> traces
otlp     traces -> OTLP JSON lines
send     traces -> an OTLP/HTTP receiver
phoenix  scores -> annotations of a Phoenix server
stage    all of it for one run
"""
