{{- /* What each value allows on its own stands in values.schema.json; here is what two of them may not be together. */ -}}
{{- define "extauthz.refuse" -}}
{{- $v := .Values -}}
{{- include "extauthz.refuseUnread" . -}}
{{- if and $v.store.url (not $v.pepper.secretName) -}}
{{- fail "store.url is set, and pepper.secretName is not: make the Secret once (kubectl create secret generic extauthz-pepper --from-literal=pepper=\"$(head -c 32 /dev/urandom | base64)\") and name it" -}}
{{- end -}}
{{- if and $v.store.user (not $v.store.secretName) -}}
{{- fail "store.user is set, and store.secretName is not: name the Secret that holds the password" -}}
{{- end -}}
{{- range $name := list "caKey" "certKey" "privateKeyKey" -}}
{{- if and (get $v.store $name) (not $v.store.secretName) -}}
{{- fail (printf "store.%s is set, and store.secretName is not: name the Secret that holds it" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.controller.enabled (eq (include "extauthz.account" .) (include "extauthz.controllerAccount" .)) -}}
{{- fail (printf "serviceAccount.name is `%s`, the account of the controller: servers would have its right to write; choose another" (include "extauthz.account" .)) -}}
{{- end -}}
{{- if and $v.singleReplica (or $v.autoscaling.enabled (ne (int $v.replicaCount) 1)) -}}
{{- fail "singleReplica is true with more than one replica: set replicaCount to 1 and autoscaling.enabled to false, or share a store (store.url)" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not $v.store.url) -}}
{{- fail "autoscaling.enabled is true without a shared store: set store.url" -}}
{{- end -}}
{{- $resources := default (dict) $v.resources -}}
{{- $cpu := or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources) -}}
{{- if and $v.autoscaling.enabled (not $cpu) -}}
{{- fail "autoscaling.enabled is true without resources.requests.cpu, of which it is a percentage: nothing would ever be scaled" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $v.tls.requireClientCertificate (not (include "extauthz.tlsSecret" .)) -}}
{{- fail "tls.requireClientCertificate is true without tls.secretName or tls.certManager.enabled" -}}
{{- end -}}
{{- $events := $v.controller.events -}}
{{- if and $events.enabled (not $v.controller.enabled) -}}
{{- fail "controller.events.enabled is true without controller.enabled" -}}
{{- end -}}
{{- if and $events.requireClientCertificate (not $events.tlsSecretName) -}}
{{- fail "controller.events.requireClientCertificate is true without controller.events.tlsSecretName" -}}
{{- end -}}
{{- if and $events.enabled (eq (int $events.port) (int $v.adminPort)) -}}
{{- fail "controller.events.port is the same as adminPort" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerRef) -}}
{{- fail "tls.certManager.enabled is true without tls.certManager.issuerRef" -}}
{{- end -}}
{{- range $name, $entries := dict "references.named" $v.references.named "sidecar.namespaces" $v.sidecar.namespaces -}}
{{- $seen := list -}}
{{- range $entries -}}
{{- if has .namespace $seen -}}
{{- fail (printf "%s has the namespace %s twice: put both into one entry" $name .namespace) -}}
{{- end -}}
{{- $seen = append $seen .namespace -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.mode "sidecar") $v.settings.decisionLogRedact (not $v.pepper.secretName) -}}
{{- fail "settings.decisionLogRedact is set without pepper.secretName: each sidecar would hash with a secret of its own" -}}
{{- end -}}
{{- end }}


{{- /* Values that the mode does not read, where they are not what values.yaml has: whoever sets them means something. */ -}}
{{- define "extauthz.refuseUnread" -}}
{{- $unread := dict "sidecar" "give pods their rights and sidecars in a release with mode=sidecar" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $socket := "Envoy calls its sidecar on a socket of the pod" -}}
{{- $unread = dict
  "replicaCount" "each pod has its sidecar, and controllers have controller.replicaCount"
  "singleReplica" "each pod would count for itself: share a store (store.url), or give a workload of one pod `extauthz inject --arg=--single-replica`"
  "service" $socket
  "tls" $socket
  "networkPolicy.callers" $socket
  "drain" "a sidecar ends after Envoy, within the grace period of its pod"
  "resources" "sidecars have sidecar.resources, controllers controller.resources"
  "autoscaling" "each pod has its sidecar"
  "serviceAccount" "a sidecar runs as the account of its pod, see sidecar.namespaces"
  "references" "sidecars may read what sidecar.namespaces, installSecrets and installConfigMaps name" -}}
{{- end -}}
{{- $defaults := .Files.Get "files/defaults.json" | fromJson -}}
{{- $given := .Values | toJson | fromJson -}}
{{- range $name, $instead := $unread -}}
{{- $default := $defaults -}}
{{- $value := $given -}}
{{- range splitList "." $name -}}
{{- $default = get $default . -}}
{{- $value = get (default (dict) $value) . -}}
{{- end -}}
{{- if and $value (ne (toJson $value) (toJson $default)) -}}
{{- fail (printf "%s is set, and mode is %s, which does not read it: %s" $name $.Values.mode $instead) -}}
{{- end -}}
{{- end -}}
{{- end }}
