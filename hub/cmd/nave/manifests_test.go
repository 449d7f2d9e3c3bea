package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// recordingHub has all objects but Fleets of the name "gone", and remembers what it was asked to do.
type recordingHub struct {
	adminv1.UnimplementedAdminServiceServer
	applied []byte
	deleted []string
	agreed  int // impacts that were shown
	removes bool
}

func (h *recordingHub) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	if r.GetKey().GetName() != "gone" {
		return &adminv1.GetResponse{}, nil
	}
	s, err := status.New(codes.NotFound, "not found").WithDetails(r.GetKey())
	if err != nil {
		return nil, err
	}
	return nil, s.Err()
}

func (h *recordingHub) Impact(_ context.Context, r *adminv1.ImpactRequest) (*adminv1.ImpactResponse, error) {
	h.agreed++
	answer := &adminv1.ImpactResponse{Digest: "seen", HubObjects: r.GetDeleteAll().GetKeys()}
	if h.removes {
		answer.Clusters = []*adminv1.ClusterImpact{{Cluster: "east"}}
	}
	return answer, nil
}

func (h *recordingHub) Apply(_ context.Context, r *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	h.applied = r.GetManifest()
	return &adminv1.ApplyResponse{}, nil
}

func (h *recordingHub) Delete(_ context.Context, r *adminv1.DeleteRequest) (*adminv1.DeleteResponse, error) {
	if !r.GetConfirmed() {
		return nil, status.Error(codes.Internal, "nobody agreed")
	}
	for _, key := range append(r.GetKeys(), r.GetKey()) {
		if key != nil {
			h.deleted = append(h.deleted, fold.KeyOf(key).String())
		}
	}
	return &adminv1.DeleteResponse{}, nil
}

const fleetAndMore = "apiVersion: fleet.nave.io/v1alpha1\nkind: Fleet\nmetadata: {name: "

// manifestsOfTest are folders of manifests.
func manifestsOfTest(t *testing.T) string {
	return workspace(t, map[string]string{
		"hub/fleet.yaml":            fleetAndMore + "prod}\n",
		"hub/more/gone.yml":         fleetAndMore + "gone}\n",
		"hub/more/secret.json":      `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"shop"}}`,
		"empty/readme.txt":          "",
		"empty/below/a.yaml":        fleetAndMore + "below}\n",
		"other/pod.yaml":            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
		"base/kustomization.yaml":   "resources: [fleet.yaml]\n",
		"base/fleet.yaml":           fleetAndMore + "made, labels: {own: label}}\nspec: {interval: '${x}'}\n",
		"prod/kustomization.yaml":   "namePrefix: prod-\nresources: [../base]\n",
		"remote/kustomization.yaml": "resources: ['https://git.example.com/x.git//base?ref=v1']\n",
		"sealed/kustomization.yaml": "resources: [secret.yaml]\n",
		"sealed/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: git}\nstringData:\n  password: " +
			"ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\n" +
			"  version: 3.9.0\n  lastmodified: '2026-01-01T00:00:00Z'\n",
	})
}

// TestDelete_manifests deletes the objects of files at once and asks once.
func TestDelete_manifests(t *testing.T) {
	for name, c := range map[string]struct {
		args    string
		removes bool
		deleted string
		says    string
	}{
		"file":           {"-f hub/fleet.yaml", false, "Fleet prod", "Fleet prod deleted"},
		"folder":         {"-f hub", false, "Fleet prod", "Fleet prod deleted"},
		"below_asked":    {"-f hub -R", true, "", "nothing was changed: add --yes to agree to the removals"},
		"below":          {"-f hub -R --yes", true, "Fleet prod, Secret shop/git", "nave: Fleet gone not found"},
		"ignored":        {"-f hub -R --yes --ignore-not-found", true, "Fleet prod, Secret shop/git", "Secret shop/git deleted"},
		"twice":          {"-f hub -f empty/below/a.yaml", false, "Fleet prod, Fleet below", "Fleet below deleted"},
		"kustomize":      {"-k prod", false, "Fleet prod-made", "Fleet prod-made deleted"},
		"all_gone":       {"-f hub/more/gone.yml", false, "", "nave: Fleet gone not found"},
		"no_manifest":    {"-f empty", false, "", "empty has no .yaml, .yml or .json file: -R reads the folders below it"},
		"no_such_file":   {"-f none.yaml", false, "", "no such file"},
		"of_a_cluster":   {"-f other", false, "", "unknown kind Pod"},
		"both_ways":      {"fleet a -f hub", false, "", "objects are named both by files and by KIND NAME"},
		"two_ways":       {"-k prod -f hub", false, "", "[kustomize filename]"},
		"nothing":        {"", false, "", "the kind and the name are missing"},
		"namespace":      {"-f hub -n a", false, "", "--namespace does nothing here"},
		"recursive_name": {"fleet a -R", false, "", "--recursive does nothing here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(manifestsOfTest(t))
			h := &recordingHub{removes: c.removes}
			out, errOut := nave(t, serve(t, h), append([]string{"delete"}, strings.Fields(c.args)...)...)
			if got := strings.Join(h.deleted, ", "); got != c.deleted || !strings.Contains(out+errOut, c.says) || h.agreed > 1 {
				t.Errorf("deleted %q after %d impacts, it prints %q and %q", got, h.agreed, out, errOut)
			}
			if c.removes && strings.Count(errOut, "This removes:") != 1 {
				t.Errorf("the impact is not shown once: %q", errOut)
			}
		})
	}
}

// TestManifests_names refuses what names no file: standard input, for example, would be empty the second time.
func TestManifests_names(t *testing.T) {
	config := serve(t, silentHub{})
	for _, c := range []struct{ args, says string }{
		{"-f - -f -", "-f - is given twice"},
		{"--filename=", "want a file, a folder, or -"},
		{"--kustomize=", "want the folder of a kustomization.yaml"},
		{"-f https://example.com/a.yaml", "nave reads no URLs: fetch it first"},
		{"-k https://example.com/a", "nave reads no URLs: clone the repository first"},
	} {
		for _, verb := range []string{"apply", "delete"} {
			out, code := exitOf(t.Context(), config, append([]string{verb}, strings.Fields(c.args)...)...)
			if code != 2 || !strings.Contains(out, c.says) {
				t.Errorf("nave %s %s: exit code %d:\n%s", verb, c.args, code, out)
			}
		}
	}
}

// TestApply_kustomize applies what kustomize builds, with no mark of a Kustomization.
func TestApply_kustomize(t *testing.T) {
	root := manifestsOfTest(t)
	for name, c := range map[string]struct{ folder, says string }{
		"overlay": {"prod", ""},
		"plain":   {"base", ""},
		"remote":  {"remote", "git.example.com"},
		"sealed":  {"sealed", "encrypted with SOPS (sealed/secret.yaml"},
		"none":    {"hub", "has no kustomization.yaml: to read all of its manifests, use -f "},
		"file":    {"hub/fleet.yaml", "is a file"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &recordingHub{}
			_, errOut := nave(t, serve(t, h), "apply", "-k", filepath.Join(root, c.folder))
			if c.says != "" {
				if h.applied != nil || !strings.Contains(errOut, c.says) {
					t.Errorf("applied %q, it prints %q, want %q", h.applied, errOut, c.says)
				}
				return
			}
			objects, err := manifest.Parse(h.applied)
			if err != nil || len(objects) != 1 || len(objects[0].GetLabels()) != 1 ||
				!bytes.Contains(h.applied, []byte("${x}")) {
				t.Errorf("%v, it applied\n%s\nand prints %q", err, h.applied, errOut)
			}
		})
	}
}

func TestKeysOf(t *testing.T) {
	keys, err := keysOf([]api.File{{Data: []byte("apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n" +
		"metadata: {name: a}\nspec: {nonsense: true}\n")}})
	if err != nil || !slices.Equal([]string{fold.KeyOf(keys[0]).String()}, []string{"GitRepository flux-system/a"}) {
		t.Errorf("%v, %v: an object that is refused can still be deleted", keys, err)
	}
}
