// cold build: 0.1 min
module x2istio.test/servers/crds

go 1.26.8

require istio.io/api v1.31.1
