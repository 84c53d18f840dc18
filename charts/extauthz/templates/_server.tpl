{{- /* The settings that values give, one flag a line. `omit` leaves out those of the store that is not used. */ -}}
{{- define "extauthz.settingArgs" -}}
{{- $shared := list "storeDeadline" "storeConnections" "storeNamespace" "storeAllowEviction" "storeMinReplicas" "storeWaitReplicas" -}}
{{- $unused := ternary (list "storeCapacity") $shared (ne .Values.store.url "") -}}
{{- range $name, $value := .Values.settings }}
{{- if not (has $name $unused) }}
{{- $flag := printf "--%s" (kebabcase $name) }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "%s=%s" $flag . | quote }}
{{- end }}
{{- else if kindIs "string" $value }}
{{- if $value }}
- {{ printf "%s=%s" $flag $value | quote }}
{{- end }}
{{- else }}
- {{ printf "%s=%s" $flag (toJson $value) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Where uses are counted; the files are where the Secrets are mounted, here as in sidecars. */ -}}
{{- define "extauthz.storeArgs" -}}
{{- with .Values.store }}
{{- if .url }}
- {{ printf "--store=%s" .url | quote }}
{{- with .user }}
- {{ printf "--store-user=%s" . | quote }}
{{- end }}
{{- if .secretName }}
{{- with .passwordKey }}
- {{ printf "--store-password-file=/etc/extauthz/store/%s" . | quote }}
{{- end }}
{{- with .caKey }}
- {{ printf "--store-ca=/etc/extauthz/store/%s" . | quote }}
{{- end }}
{{- with .certKey }}
- {{ printf "--store-cert=/etc/extauthz/store/%s" . | quote }}
{{- end }}
{{- with .privateKeyKey }}
- {{ printf "--store-key=/etc/extauthz/store/%s" . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.pepper.secretName }}
- {{ printf "--pepper-file=/etc/extauthz/pepper/%s" .Values.pepper.key | quote }}
{{- end }}
{{- end }}

{{- define "extauthz.args" -}}
- serve
- --kubernetes
- --install-namespace={{ .Release.Namespace }}
- {{ printf "--listen=%s:9191" .Values.bindAddress | quote }}
- {{ printf "--admin=%s:%v" .Values.bindAddress (int .Values.adminPort) | quote }}
{{- if .Values.singleReplica }}
- --single-replica
{{- end }}
{{- include "extauthz.storeArgs" . }}
{{- if include "extauthz.tlsSecret" . }}
- --tls-cert=/etc/extauthz/tls/tls.crt
- --tls-key=/etc/extauthz/tls/tls.key
{{- if .Values.tls.requireClientCertificate }}
- --tls-client-ca=/etc/extauthz/tls/ca.crt
{{- end }}
{{- end }}
- --drain-delay={{ .Values.drain.delaySeconds }}s
- --drain-timeout={{ .Values.drain.timeoutSeconds }}s
{{- include "extauthz.settingArgs" . }}
{{- end }}

{{- /* The Secrets of a server: pairs of name and Secret. */ -}}
{{- define "extauthz.secrets" -}}
{{- $found := dict -}}
{{- if and .Values.store.url .Values.store.secretName }}{{ $_ := set $found "store" .Values.store.secretName }}{{ end -}}
{{- if .Values.pepper.secretName }}{{ $_ := set $found "pepper" .Values.pepper.secretName }}{{ end -}}
{{- with include "extauthz.tlsSecret" . }}{{ $_ := set $found "tls" . }}{{ end -}}
{{- toJson $found -}}
{{- end }}

{{- define "extauthz.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "extauthz.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* What says on which nodes a pod runs, and how it is pulled. */ -}}
{{- define "extauthz.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: "{{ . }}"
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Secrets and ConfigMaps by name: list of RBAC rules. Takes a dict of `secrets` and `configMaps`. */ -}}
{{- define "extauthz.namedRules" -}}
{{- with .secrets }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [list, watch]
{{- end }}
{{- with .configMaps }}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: {{ toJson . }}
  verbs: [list, watch]
{{- end }}
{{- end }}

{{- /* Reading kinds and writing their status: list of RBAC rules. Takes a list of plural names. */ -}}
{{- define "extauthz.statusRules" -}}
{{- $status := list -}}
{{- range . }}{{ $status = append $status (printf "%s/status" .) }}{{ end -}}
- apiGroups: [extauthz.dev]
  resources: {{ toJson . }}
  verbs: [list, watch]
- apiGroups: [extauthz.dev]
  resources: {{ toJson $status }}
  verbs: [patch]
{{- end }}

{{- /* Spreads the pods of one component over nodes, as far as that can be. Takes a list of the root and the component. */ -}}
{{- define "extauthz.spread" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.topologySpread }}
{{- if .keys }}
topologySpreadConstraints:
  {{- range .keys }}
  - topologyKey: "{{ . }}"
    maxSkew: {{ $root.Values.topologySpread.maxSkew }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- include "extauthz.selector" $root | nindent 8 }}
        app.kubernetes.io/component: "{{ index $ 1 }}"
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
