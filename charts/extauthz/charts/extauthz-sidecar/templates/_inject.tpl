{{- /*
A pod template with the sidecar, as YAML. Takes a dict of `options` and `template` (`metadata` and `spec`).
It does what `extauthz inject` does: a second time nothing, and what cannot be is refused with the reason.
*/ -}}
{{- define "extauthz-sidecar.inject" -}}
{{- $template := deepCopy .template -}}
{{- $content := include "extauthz-sidecar.content" . | fromJson -}}
{{- $metadata := default (dict) $template.metadata -}}
{{- if eq (include "extauthz-sidecar.wanted" (dict "labels" $metadata.labels "label" $content.labels.inject)) "false" -}}
{{- toYaml $template -}}
{{- else -}}
{{- $spec := required "extauthz-sidecar: the template has no `spec`" $template.spec -}}
{{- $annotations := default (dict) $metadata.annotations -}}
{{- if hasKey $annotations $content.annotations.injected -}}
{{- $spec = include "extauthz-sidecar.without" $spec | fromJson -}}
{{- end -}}
{{- $parts := include "extauthz-sidecar.parts" .options | fromJson -}}
{{- with include "extauthz-sidecar.unfit" (dict "spec" $spec "options" $parts.options "content" $content) -}}
{{- fail (printf "extauthz-sidecar: the pod %s" .) -}}
{{- end -}}
{{- range $name := list "containers" "initContainers" -}}
{{- range default (list) (get $spec $name) -}}
{{- if eq .name (get $parts.options "envoy-container") -}}
{{- $_ := set . "volumeMounts" (append (default (list) .volumeMounts) $parts.socketMount) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $spec "initContainers" (prepend (default (list) $spec.initContainers) $parts.container) -}}
{{- $_ := set $spec "volumes" (concat (default (list) $spec.volumes) $parts.volumes) -}}
{{- $_ := set $metadata "annotations" (merge (dict $content.annotations.injected $content.container.name) $annotations) -}}
{{- dict "metadata" $metadata "spec" $spec | toYaml -}}
{{- end -}}
{{- end }}

{{- /* What a pod says by label: `true`, `false`, or nothing. */ -}}
{{- define "extauthz-sidecar.wanted" -}}
{{- $labels := default (dict) .labels -}}
{{- $said := index $labels .label -}}
{{- if kindIs "invalid" $said -}}
{{- else if not (kindIs "string" $said) -}}
{{- fail (printf "extauthz-sidecar: the label `%s` is no text; put its value in quotes" .label) -}}
{{- else if not (has $said (list "true" "false")) -}}
{{- fail (printf "extauthz-sidecar: the label `%s` is `%s`; allowed are `true` and `false`" .label $said) -}}
{{- else -}}
{{- $said -}}
{{- end -}}
{{- end }}

{{- /* A pod spec without what was put in before, as JSON. */ -}}
{{- define "extauthz-sidecar.without" -}}
{{- $spec := deepCopy . -}}
{{- $content := include "extauthz-sidecar.content" . | fromJson -}}
{{- $kept := list -}}
{{- range default (list) $spec.initContainers -}}
{{- if ne .name $content.container.name -}}{{- $kept = append $kept . -}}{{- end -}}
{{- end -}}
{{- $_ := set $spec "initContainers" $kept -}}
{{- $kept = list -}}
{{- range default (list) $spec.volumes -}}
{{- if not (has .name $content.names) -}}{{- $kept = append $kept . -}}{{- end -}}
{{- end -}}
{{- $_ := set $spec "volumes" $kept -}}
{{- range concat $spec.initContainers (default (list) $spec.containers) -}}
{{- $left := list -}}
{{- range default (list) .volumeMounts -}}
{{- if not (has .name $content.names) -}}{{- $left = append $left . -}}{{- end -}}
{{- end -}}
{{- if $left -}}
{{- $_ := set . "volumeMounts" $left -}}
{{- else -}}
{{- $_ := unset . "volumeMounts" -}}
{{- end -}}
{{- end -}}
{{- toJson $spec -}}
{{- end }}

{{- /* Why a pod can have no sidecar; nothing when it can. */ -}}
{{- define "extauthz-sidecar.unfit" -}}
{{- $content := .content -}}
{{- $envoy := get .options "envoy-container" -}}
{{- $port := get .options "admin-port" | int -}}
{{- $found := list -}}
{{- $names := list -}}
{{- if .spec.hostNetwork -}}
{{- $found = append $found "has hostNetwork: the admin port would be open on the node" -}}
{{- end -}}
{{- if eq (dig "os" "name" "" .spec) "windows" -}}
{{- $found = append $found "is one of Windows, which has no Unix socket that Envoy could call" -}}
{{- end -}}
{{- range concat (default (list) .spec.containers) (default (list) .spec.initContainers) -}}
{{- $name := .name -}}
{{- $names = append $names .name -}}
{{- range default (list) .ports -}}
{{- if eq (int .containerPort) $port -}}
{{- $found = append $found (printf "has port %d in container `%s`; choose another admin-port" $port $name) -}}
{{- end -}}
{{- end -}}
{{- range default (list) .volumeMounts -}}
{{- if regexMatch $content.folderPattern .mountPath -}}
{{- $found = append $found (printf "has something at `%s` in container `%s`" $content.folder $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range default (list) .spec.volumes -}}
{{- if has .name $content.names -}}
{{- $found = append $found (printf "has a volume `%s` that is none of ours; rename it" .name) -}}
{{- end -}}
{{- end -}}
{{- if has $content.container.name $names -}}
{{- $found = append $found (printf "has a container `%s` that is none of ours; rename it" $content.container.name) -}}
{{- end -}}
{{- if not (has $envoy $names) -}}
{{- $found = append $found (printf "has no container `%s`; name Envoy's by envoy-container" $envoy) -}}
{{- end -}}
{{- join "; it " $found -}}
{{- end }}
