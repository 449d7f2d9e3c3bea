package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiversion "k8s.io/apimachinery/pkg/version"

	"github.com/navefleet/nave/shared/manifest"
)

// oldestKubernetes is the first version that a spoke works with: server-side apply is stable there.
var oldestKubernetes = semver.MustParse("1.22.0")

// cluster checks whether a cluster can get a spoke.
func (c *checkup) cluster(ctx context.Context, o checkOptions) {
	c.heading("checking the cluster")
	k, err := connectKubernetes(o.kubeconfig, o.kubecontext, "")
	if err != nil {
		c.note("configuration", checkFailed, err.Error())
		return
	}
	if !c.kubernetesVersion(ctx, k) {
		return
	}
	c.tenants(ctx, k)
	c.heading("checking what the account may do there")
	if err := c.permissions(ctx, k); err != nil {
		c.note("permissions", checkFailed, err.Error())
	}
}

// kubernetesVersion checks the version of the API server, and reports whether it answers.
func (c *checkup) kubernetesVersion(ctx context.Context, k *kubernetes) (answers bool) {
	var info apiversion.Info
	found, err := k.get(ctx, "/version", nil, &info)
	if err == nil && !found {
		err = fmt.Errorf("%s is no API server: it has no /version", k.base)
	}
	if err != nil {
		c.note("kubernetes", checkFailed, err.Error())
		return false
	}
	switch v, err := semver.NewVersion(info.GitVersion); {
	case err != nil:
		c.note("kubernetes", checkFailed, fmt.Sprintf("the version %q of the API server is none: %v", info.GitVersion, err))
	case v.LessThan(oldestKubernetes):
		c.note("kubernetes", checkFailed, fmt.Sprintf("Kubernetes %s is older than %s, which has the server-side apply that "+
			"a spoke needs: upgrade the cluster", info.GitVersion, oldestKubernetes))
	default:
		c.note("kubernetes", checkOK, fmt.Sprintf("Kubernetes %s, at least %s", info.GitVersion, oldestKubernetes))
	}
	return true
}

// tenants warns of a spoke and of Flux that the cluster has already.
func (c *checkup) tenants(ctx context.Context, k *kubernetes) {
	var settings struct{ Data map[string]string }
	found, err := k.get(ctx, "/api/v1/namespaces/"+spokeNamespace+"/configmaps/nave-spoke", nil, &settings)
	switch {
	case err != nil:
		c.note("spoke", checkWarning, "whether a spoke is there is not known: "+err.Error())
	case found:
		c.note("spoke", checkWarning, fmt.Sprintf("a spoke is there already: cluster %[1]s of hub %[2]s; nave cluster add "+
			"--replace %[1]s gives it another name or hub", settings.Data["cluster"], settings.Data["hub"]))
	}
	var flux map[string]any
	if found, err := k.get(ctx, "/apis/kustomize.toolkit.fluxcd.io", nil, &flux); err != nil {
		c.note("flux", checkWarning, "whether Flux is there is not known: "+err.Error())
	} else if found {
		c.note("flux", checkWarning, "Flux's kinds are there: nave migrate flux says what becomes of what Flux runs")
	}
}

// permissions checks whether the account may apply the manifest of a spoke.
func (c *checkup) permissions(ctx context.Context, k *kubernetes) error {
	var text bytes.Buffer
	if err := printJoinManifest(&text, map[string]string{}, "token", ""); err != nil {
		return err
	}
	objects, err := manifest.Parse(text.Bytes())
	if err != nil {
		return err
	}
	missing := map[string][]string{} // verbs by resource
	for _, o := range objects {
		a := access{namespace: o.GetNamespace(), group: o.GroupVersionKind().Group,
			resource: strings.ToLower(o.GetKind()) + "s"}
		for _, a.verb = range []string{"get", "create", "patch"} {
			if err := k.require(ctx, a, missing); err != nil {
				return err
			}
		}
	}
	role := slices.IndexFunc(objects, func(o *manifest.Object) bool { return o.GetKind() == "ClusterRole" })
	if err := k.requireRole(ctx, objects[role], missing); err != nil {
		return err
	}
	for _, resource := range slices.Sorted(maps.Keys(missing)) {
		c.note("permissions", checkFailed, fmt.Sprintf("the account may not %s %s", strings.Join(missing[resource], ", "),
			resource))
	}
	if len(missing) > 0 {
		c.heading("apply what nave cluster add prints with an account that may, such as one with cluster-admin")
		return nil
	}
	c.note("permissions", checkOK, "the account may apply what nave cluster add prints")
	return nil
}

// access is one thing that an account may do or not.
type access struct{ namespace, group, resource, verb string }

// String returns the resource as kubectl does: resource.group in namespace.
func (a access) String() string {
	text := a.resource
	if a.group != "" {
		text += "." + a.group
	}
	if a.namespace != "" {
		text += " in namespace " + a.namespace
	}
	return text
}

// may asks the API server whether the account may do something.
func (k *kubernetes) may(ctx context.Context, a access) (bool, error) {
	var answer struct{ Status struct{ Allowed bool } }
	err := k.review(ctx, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{"namespace": a.namespace, "group": a.group,
			"resource": a.resource, "verb": a.verb}},
	}, &answer)
	return answer.Status.Allowed, err
}

// require notes what the account may not do.
func (k *kubernetes) require(ctx context.Context, a access, missing map[string][]string) error {
	allowed, err := k.may(ctx, a)
	if err == nil && !allowed {
		missing[a.String()] = append(missing[a.String()], a.verb)
	}
	return err
}

// requireRole notes what the account may not do of what a ClusterRole allows. Kubernetes lets nobody give rights that
// he does not have, unless he may escalate and bind.
func (k *kubernetes) requireRole(ctx context.Context, role *manifest.Object, missing map[string][]string) error {
	lacking := map[string][]string{}
	rules, _, _ := unstructured.NestedSlice(role.Object, "rules")
	for _, item := range rules {
		rule, _ := item.(map[string]any)
		groups, _, _ := unstructured.NestedStringSlice(rule, "apiGroups")
		resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
		verbs, _, _ := unstructured.NestedStringSlice(rule, "verbs")
		for _, a := range product(groups, resources, verbs) {
			if err := k.require(ctx, a, lacking); err != nil {
				return err
			}
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	for _, verb := range []string{"escalate", "bind"} {
		a := access{group: "rbac.authorization.k8s.io", resource: "clusterroles", verb: verb}
		if err := k.require(ctx, a, missing); err != nil {
			return err
		}
	}
	return nil
}

func product(groups, resources, verbs []string) (all []access) {
	for _, group := range groups {
		for _, resource := range resources {
			for _, verb := range verbs {
				all = append(all, access{group: group, resource: resource, verb: verb})
			}
		}
	}
	return all
}
