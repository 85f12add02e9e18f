// cold build: 0.1 min
module x2istio.test/servers/gateway-crds

go 1.26.8

require sigs.k8s.io/gateway-api v1.6.0
