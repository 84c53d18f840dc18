module extauthz.dev/tests/cluster/tools/crds

go 1.26.7

require (
	github.com/envoyproxy/ai-gateway v1.0.0
	github.com/envoyproxy/gateway v1.9.1
	istio.io/api v1.32.0
	sigs.k8s.io/gateway-api v1.6.3
)
