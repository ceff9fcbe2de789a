module github.com/sluice-net/sluice/conformance/cluster

go 1.26.0
