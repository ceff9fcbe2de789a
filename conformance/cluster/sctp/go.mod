module github.com/sluice-net/sluice/conformance/cluster/sctp

go 1.26.0
