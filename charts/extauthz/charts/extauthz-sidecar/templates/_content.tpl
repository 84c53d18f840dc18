{{- /* Written by docs/generate.py from extauthz/cli/inject/sidecar.py; run `make docs` after a change. */ -}}
{{- define "extauthz-sidecar.content" -}}
{
 "names": [
  "extauthz-socket",
  "extauthz-account",
  "extauthz-store",
  "extauthz-pepper"
 ],
 "folder": "/run/extauthz",
 "folderPattern": "^/*run/+extauthz(/.*)?$",
 "labels": {
  "inject": "extauthz.dev/inject"
 },
 "annotations": {
  "injected": "extauthz.dev/injected"
 },
 "defaults": {
  "image": "",
  "image-pull-policy": "IfNotPresent",
  "envoy-container": "envoy",
  "admin-port": 9090,
  "bind-address": "0.0.0.0",
  "store-secret": "",
  "pepper-secret": "",
  "resources": {
   "requests": {
    "cpu": "50m",
    "memory": "128Mi"
   },
   "limits": {
    "memory": "256Mi"
   }
  },
  "args": []
 },
 "container": {
  "name": "extauthz",
  "image": "IMAGE",
  "imagePullPolicy": "IfNotPresent",
  "restartPolicy": "Always",
  "args": [
   "serve",
   "--kubernetes",
   "--listen=unix:/run/extauthz/extauthz.sock",
   "--socket-mode=0666",
   "--admin=ADDRESS:PORT"
  ],
  "env": [
   {
    "name": "EXTAUTHZ_NAMESPACE",
    "valueFrom": {
     "fieldRef": {
      "fieldPath": "metadata.namespace"
     }
    }
   }
  ],
  "ports": [
   {
    "name": "extauthz-admin",
    "containerPort": 65535
   }
  ],
  "startupProbe": {
   "httpGet": {
    "path": "/healthz",
    "port": "extauthz-admin"
   },
   "periodSeconds": 1,
   "failureThreshold": 60
  },
  "livenessProbe": {
   "httpGet": {
    "path": "/healthz",
    "port": "extauthz-admin"
   },
   "periodSeconds": 10,
   "timeoutSeconds": 3
  },
  "readinessProbe": {
   "httpGet": {
    "path": "/readyz",
    "port": "extauthz-admin"
   },
   "periodSeconds": 5,
   "timeoutSeconds": 3
  },
  "resources": {
   "requests": {
    "cpu": "50m",
    "memory": "128Mi"
   },
   "limits": {
    "memory": "256Mi"
   }
  },
  "securityContext": {
   "allowPrivilegeEscalation": false,
   "readOnlyRootFilesystem": true,
   "runAsNonRoot": true,
   "runAsUser": 65532,
   "runAsGroup": 65532,
   "capabilities": {
    "drop": [
     "ALL"
    ]
   },
   "seccompProfile": {
    "type": "RuntimeDefault"
   }
  },
  "volumeMounts": [
   {
    "name": "extauthz-socket",
    "mountPath": "/run/extauthz"
   },
   {
    "name": "extauthz-account",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": true
   }
  ]
 },
 "pepperArg": "--pepper-file=/etc/extauthz/pepper/pepper",
 "secretMounts": {
  "store": {
   "name": "extauthz-store",
   "mountPath": "/etc/extauthz/store",
   "readOnly": true
  },
  "pepper": {
   "name": "extauthz-pepper",
   "mountPath": "/etc/extauthz/pepper",
   "readOnly": true
  }
 },
 "volumes": [
  {
   "name": "extauthz-socket",
   "emptyDir": {
    "medium": "Memory",
    "sizeLimit": "1Mi"
   }
  },
  {
   "name": "extauthz-account",
   "projected": {
    "defaultMode": 292,
    "sources": [
     {
      "serviceAccountToken": {
       "path": "token",
       "expirationSeconds": 3600
      }
     },
     {
      "configMap": {
       "name": "kube-root-ca.crt",
       "items": [
        {
         "key": "ca.crt",
         "path": "ca.crt"
        }
       ]
      }
     }
    ]
   }
  }
 ],
 "secretVolumes": {
  "store": {
   "name": "extauthz-store",
   "secret": {
    "secretName": "SECRET",
    "defaultMode": 292
   }
  },
  "pepper": {
   "name": "extauthz-pepper",
   "secret": {
    "secretName": "SECRET",
    "defaultMode": 292
   }
  }
 },
 "socketMount": {
  "name": "extauthz-socket",
  "mountPath": "/run/extauthz",
  "readOnly": true
 }
}
{{- end }}
