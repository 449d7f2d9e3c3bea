package api

import "strings"

// modernize converts fields of spec in the form of old versions: dependsOn as names or namespace/name, the service
// account as an object (both v1alpha1), and health checks without an apiVersion.
func modernize(spec map[string]any) {
	if account, ok := spec["serviceAccount"].(map[string]any); ok && len(account) == 1 {
		if name, ok := account["name"].(string); ok && spec["serviceAccountName"] == nil {
			spec["serviceAccountName"] = name
			delete(spec, "serviceAccount")
		}
	}
	dependencies, _ := list(spec["dependsOn"])
	for i, d := range dependencies {
		if name, ok := d.(string); ok {
			dependencies[i] = dependency(name)
		}
	}
	checks, _ := list(spec["healthChecks"])
	for _, c := range checks {
		check, ok := c.(map[string]any)
		if version := workloads[textOf(check["kind"])]; ok && check["apiVersion"] == nil && version != "" {
			check["apiVersion"] = version
		}
	}
}

// workloads has the apiVersions of the kinds that health checks of old versions named without one.
var workloads = map[string]string{"Deployment": "apps/v1", "DaemonSet": "apps/v1", "StatefulSet": "apps/v1"}

// dependency returns the entry of dependsOn for a name or namespace/name.
func dependency(name string) map[string]any {
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		return map[string]any{"namespace": namespace, "name": rest}
	}
	return map[string]any{"name": name}
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}
