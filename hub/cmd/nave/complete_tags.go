package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// tags completes an ImagePolicy, and then up to so many of its tags (0: any number): those that the last scan found
// first, and what the policy has and had; or, if excluded is set, those that were excluded.
func (s *session) tags(most int, excluded bool) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return s.names(api.ImagePolicyKind)(cmd, args, begun)
		case most > 0 && len(args) > most:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		isGiven := func(tag string) bool { return slices.Contains(args[1:], tag) }
		tags := slices.DeleteFunc(s.askTags(cmd.Context(), args[0], excluded), isGiven)
		return beginning(tags, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// askTags returns the tags of an ImagePolicy, as far as the hub answers within completeTime.
func (s *session) askTags(ctx context.Context, policy string, excluded bool) (tags []string) {
	client, done, err := s.dial()
	if err != nil {
		return nil
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	get := func(kind, namespace, name string) map[string]any {
		key := &adminv1.ObjectKey{Cluster: s.cluster, Kind: kind, Namespace: namespace, Name: name}
		answer, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
		if err != nil {
			return nil
		}
		object, _ := decode(answer.GetObject()) // nil: it has no tags
		return object
	}
	object := get(api.ImagePolicyKind, s.namespace, policy)
	if excluded {
		list, _, _ := unstructured.NestedSlice(object, "status", "excluded")
		for _, entry := range list {
			one, _ := entry.(map[string]any)
			tags = append(tags, textField(one, "tag"))
		}
		return tags
	}
	for _, ref := range []string{"latestRef", "observedPreviousRef"} {
		tags = append(tags, textField(object, "status", ref, "tag"))
	}
	ref := []string{"spec", "imageRepositoryRef"}
	repository := get(api.ImageRepositoryKind, cmp.Or(textField(object, append(ref, "namespace")...), s.namespace),
		textField(object, append(ref, "name")...))
	newest, _, _ := unstructured.NestedStringSlice(repository, "status", "lastScanResult", "latestTags")
	return append(tags, newest...)
}

// textField returns a text in an object; empty if there is none.
func textField(object map[string]any, path ...string) string {
	s, _, _ := unstructured.NestedString(object, path...)
	return s
}
