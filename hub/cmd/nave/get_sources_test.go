package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// sourcesHub is a hub that has one object of some kinds.
type sourcesHub struct {
	adminv1.AdminServiceClient
	kinds []string
}

func (h sourcesHub) List(
	_ context.Context, r *adminv1.ListRequest, _ ...grpc.CallOption,
) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for _, kind := range h.kinds {
		if kind == r.Kind {
			answer.Objects = append(answer.Objects, &adminv1.Object{
				Key:  &adminv1.ObjectKey{Kind: kind, Namespace: "flux-system", Name: "fleet"},
				Json: fmt.Appendf(nil, `{"kind":%q,"metadata":{"name":"fleet"}}`, kind)})
		}
	}
	return answer, nil
}

func TestGet_sources_all(t *testing.T) {
	two := sourcesHub{kinds: []string{"OCIRepository", "GitRepository", "HelmRelease", "Kustomization"}}
	images := sourcesHub{kinds: []string{"ImageRepository"}}
	for name, c := range map[string]struct {
		hub           sourcesHub
		words         string
		o             getOptions
		want, message string
	}{
		"table": {two, "sources all", getOptions{}, "CLUSTER NAMESPACE NAME REVISION SUSPENDED READY AGE MESSAGE " +
			"- flux-system gitrepository/fleet - False Unknown - - flux-system ocirepository/fleet - False Unknown -", ""},
		"singular": {sourcesHub{}, "source all", getOptions{}, "No sources found.", ""},
		"json": {sourcesHub{}, "sources all", getOptions{outputFlags: outputFlags{format: "json"}},
			`{ "apiVersion": "v1", "items": [], "kind": "List" }`, ""},
		"all": {two, "all", getOptions{}, "CLUSTER NAMESPACE NAME REVISION SUSPENDED READY AGE MESSAGE " +
			"- flux-system gitrepository/fleet - False Unknown - " +
			"CLUSTER NAMESPACE NAME REVISION SUSPENDED READY AGE MESSAGE " +
			"- flux-system ocirepository/fleet - False Unknown - " +
			"CLUSTER NAMESPACE NAME CHART VERSION REVISION SUSPENDED READY AGE MESSAGE " +
			"- flux-system helmrelease/fleet - - - False Unknown - " +
			"CLUSTER NAMESPACE NAME REVISION SUSPENDED READY AGE MESSAGE " +
			"- flux-system kustomization/fleet - False Unknown -", ""},
		"all_none": {sourcesHub{}, "all", getOptions{}, "No objects found.", ""},
		"all_names": {two, "all", getOptions{outputFlags: outputFlags{format: "name"}}, "gitrepository.source.toolkit.fluxcd.io/fleet " +
			"ocirepository.source.toolkit.fluxcd.io/fleet helmrelease.helm.toolkit.fluxcd.io/fleet " +
			"kustomization.kustomize.toolkit.fluxcd.io/fleet", ""},
		"all_named": {two, "all fleet", getOptions{}, "", "all takes no name, got fleet"},
		"all_watch": {two, "all", getOptions{watch: true}, "", "all cannot be watched"},
		"images": {images, "images all", getOptions{}, "CLUSTER NAMESPACE NAME LAST SCAN SUSPENDED READY AGE MESSAGE " +
			"- flux-system imagerepository/fleet - False Unknown -", ""},
		"images_alone":      {sourcesHub{}, "images", getOptions{}, "No images found.", ""},
		"images_no_sources": {images, "sources all", getOptions{}, "No sources found.", ""},
		"images_of_all": {images, "all", getOptions{outputFlags: outputFlags{format: "name"}},
			"imagerepository.image.toolkit.fluxcd.io/fleet", ""},
		"images_named": {images, "images all fleet", getOptions{}, "", "images all takes no name, got fleet"},
		"name":         {two, "sources all fleet", getOptions{}, "", "takes no name, got fleet"},
		"watch":        {two, "sources all", getOptions{watch: true}, "", "cannot be watched"},
		"output":       {sourcesHub{}, "sources all", getOptions{outputFlags: outputFlags{format: "xml"}}, "", "unknown output"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := &cobra.Command{}
			cmd.SetContext(t.Context())
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			err := (&session{}).get(cmd, strings.Fields(c.words), c.hub, c.o)
			if got := strings.Join(strings.Fields(out.String()), " "); got != c.want {
				t.Errorf("got %s", got)
			}
			if (err != nil) != (c.message != "") || err != nil && !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v, want %q", err, c.message)
			}
		})
	}
}
