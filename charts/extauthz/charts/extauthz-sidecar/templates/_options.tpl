{{- /*
The options of a sidecar with their defaults, as JSON. They have the names that `extauthz inject --options` reads; in
camel case they are read too. What is not known is refused.
*/ -}}
{{- define "extauthz-sidecar.options" -}}
{{- $defaults := (include "extauthz-sidecar.content" . | fromJson).defaults -}}
{{- $found := deepCopy $defaults -}}
{{- range $given, $value := . -}}
{{- $name := kebabcase $given -}}
{{- if not (hasKey $defaults $name) -}}
{{- fail (printf "extauthz-sidecar: `%s` is no option; known are %s" $given (keys $defaults | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $found $name $value -}}
{{- end -}}
{{- end -}}
{{- include "extauthz-sidecar.checkNames" $found -}}
{{- include "extauthz-sidecar.checkRest" $found -}}
{{- toJson $found -}}
{{- end }}

{{- define "extauthz-sidecar.checkNames" -}}
{{- if not (and (kindIs "string" .image) (regexMatch "^\\S+$" .image)) -}}
{{- fail "extauthz-sidecar: `image` is not set, or no text without blanks: name the image of the sidecar" -}}
{{- end -}}
{{- range $name := list "envoy-container" "store-secret" "pepper-secret" -}}
{{- $value := get $ $name -}}
{{- if not (and (kindIs "string" $value) (regexMatch "^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$" $value)) -}}
{{- fail (printf "extauthz-sidecar: `%s` is `%v`, which is no name" $name $value) -}}
{{- end -}}
{{- end -}}
{{- if not (get . "envoy-container") -}}
{{- fail "extauthz-sidecar: `envoy-container` is empty" -}}
{{- end -}}
{{- end }}

{{- define "extauthz-sidecar.checkRest" -}}
{{- if not (has (get . "image-pull-policy") (list "Always" "IfNotPresent" "Never")) -}}
{{- fail (printf "extauthz-sidecar: `image-pull-policy` is `%v`; allowed are Always, IfNotPresent, Never" (get . "image-pull-policy")) -}}
{{- end -}}
{{- $port := get . "admin-port" -}}
{{- if not (regexMatch "^[1-9][0-9]{0,4}$" (toJson $port)) -}}
{{- fail (printf "extauthz-sidecar: `admin-port` is `%v`; it is a number from 1 to 65535" $port) -}}
{{- else if gt (int $port) 65535 -}}
{{- fail (printf "extauthz-sidecar: `admin-port` is `%v`; it is a number from 1 to 65535" $port) -}}
{{- end -}}
{{- $address := get . "bind-address" -}}
{{- if not (and (kindIs "string" $address) (regexMatch "^([0-9.]+|\\[[0-9a-fA-F:]+\\])$" $address)) -}}
{{- fail (printf "extauthz-sidecar: `bind-address` is `%v`; it is an IPv4 address, or an IPv6 one in brackets" $address) -}}
{{- end -}}
{{- if not (kindIs "map" .resources) -}}
{{- fail "extauthz-sidecar: `resources` is no mapping" -}}
{{- end -}}
{{- if not (kindIs "slice" .args) -}}
{{- fail "extauthz-sidecar: `args` is no list" -}}
{{- end -}}
{{- range .args -}}
{{- if not (and (kindIs "string" .) (hasPrefix "--" (toString .))) -}}
{{- fail (printf "extauthz-sidecar: `%v` in `args` is no flag; write it as `--name=value`" .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* What the options make: JSON of `container`, `volumes`, `socketMount`, `options` and the `content` they fill. */ -}}
{{- define "extauthz-sidecar.parts" -}}
{{- $options := include "extauthz-sidecar.options" . | fromJson -}}
{{- $content := include "extauthz-sidecar.content" . | fromJson -}}
{{- $container := $content.container -}}
{{- $port := get $options "admin-port" | int -}}
{{- $args := list -}}
{{- range $container.args -}}
{{- $args = append $args (. | replace "PORT" (toString $port) | replace "ADDRESS" (get $options "bind-address")) -}}
{{- end -}}
{{- $mounts := $container.volumeMounts -}}
{{- $volumes := $content.volumes -}}
{{- range $name := list "store" "pepper" -}}
{{- with get $options (printf "%s-secret" $name) -}}
{{- $mounts = append $mounts (get $content.secretMounts $name) -}}
{{- $volume := get $content.secretVolumes $name -}}
{{- $_ := set $volume.secret "secretName" . -}}
{{- $volumes = append $volumes $volume -}}
{{- end -}}
{{- end -}}
{{- $named := false -}}
{{- range $options.args -}}
{{- $named = or $named (hasPrefix "--pepper-file" .) -}}
{{- end -}}
{{- if and (get $options "pepper-secret") (not $named) -}}
{{- $args = append $args $content.pepperArg -}}
{{- end -}}
{{- $_ := set $container "args" (concat $args $options.args) -}}
{{- $_ := set $container "volumeMounts" $mounts -}}
{{- $_ := set $container "image" $options.image -}}
{{- $_ := set $container "imagePullPolicy" (get $options "image-pull-policy") -}}
{{- $_ := set $container "resources" $options.resources -}}
{{- $_ := set (first $container.ports) "containerPort" $port -}}
{{- dict "container" $container "volumes" $volumes "socketMount" $content.socketMount "options" $options "content" $content | toJson -}}
{{- end }}
