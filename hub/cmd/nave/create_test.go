package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCreate_export prints what flux create image … --export prints for the same flags.
func TestCreate_export(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"repository": {"repository app --image=ghcr.io/org/app --secret-ref=s --cert-ref=c --scan-timeout=30s --label=a=b,c=d",
			"---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata:\n  labels:\n    a: b\n    c: d\n" +
				"  name: app\n  namespace: flux-system\nspec:\n  certSecretRef:\n    name: c\n  image: ghcr.io/org/app\n" +
				"  interval: 1m\n  secretRef:\n    name: s\n  timeout: 30s\n"},
		"insecure": {"repository app -n apps --image=localhost:5000/app --interval=1h30m --insecure --exclude=^a --exclude=b,c",
			"---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata:\n  name: app\n  namespace: apps\n" +
				"spec:\n  exclusionList:\n  - ^a\n  - b,c\n  image: localhost:5000/app\n  insecure: true\n  interval: 1h30m\n"},
		"policy": {"policy app --image-ref=app --select-semver=1.x",
			"---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata:\n  name: app\n" +
				"  namespace: flux-system\nspec:\n  imageRepositoryRef:\n    name: app\n" +
				"  policy:\n    semver:\n      range: 1.x\n"},
		"policy_digest": {"policy app --image-ref=app --select-numeric=desc --filter-regex=^(?P<n>[0-9]+)$ --filter-extract=$n " +
			"--reflect-digest=Always",
			"---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata:\n  name: app\n" +
				"  namespace: flux-system\nspec:\n  digestReflectionPolicy: Always\n  filterTags:\n" +
				"    extract: $n\n    pattern: ^(?P<n>[0-9]+)$\n" +
				"  imageRepositoryRef:\n    name: app\n  interval: 1m\n  policy:\n    numerical:\n      order: desc\n"},
		"update": {"update app --git-repo-ref=fleet --git-repo-path=./apps --checkout-branch=main --push-branch=auto " +
			"--author-name=A --author-email=a@b --commit-template={{.}} --interval=5m",
			"---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata:\n  name: app\n" +
				"  namespace: flux-system\nspec:\n  git:\n    checkout:\n      ref:\n        branch: main\n    commit:\n" +
				"      author:\n        email: a@b\n        name: A\n      messageTemplate: '{{.}}'\n    push:\n" +
				"      branch: auto\n  interval: 5m\n  sourceRef:\n    kind: GitRepository\n    name: fleet\n" +
				"  update:\n    path: ./apps\n    strategy: Setters\n"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"create", "image"}, append(strings.Fields(c.args), "--export")...)
			out, errOut := nave(t, "/nowhere", args...)
			if out != c.want || errOut != "" {
				t.Errorf("got %q\n%s\nwant\n%s", errOut, out, c.want)
			}
		})
	}
}

// TestCreate_refused refuses flags from which no object can be made, before the hub is asked.
func TestCreate_refused(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"no_image":    {"image repository app", `required flag(s) "image" not set`},
		"bad_image":   {"image repository app --image=https://x/y", "spec.image"},
		"bad_name":    {"image repository App --image=x/y", "metadata.name"},
		"label":       {"image repository app --image=x/y --label=a", "want KEY=VALUE"},
		"no_choice":   {"image policy app --image-ref=app", "want one of --select-semver"},
		"two_choices": {"image policy app --image-ref=app --select-semver=1.x --select-alpha=asc", "want one of --select-semver"},
		"order":       {"image policy app --image-ref=app --select-alpha=up", "spec.policy.alphabetical.order"},
		"range":       {"image policy app --image-ref=app --select-semver=nonsense", "spec.policy.semver.range"},
		"pattern":     {"image policy app --image-ref=app --select-alpha=asc --filter-regex=(", "spec.filterTags.pattern"},
		"interval":    {"image policy app --image-ref=app --select-alpha=asc --interval=1m", "without --reflect-digest=Always"},
		"no_email":    {"image update app --git-repo-ref=app", `required flag(s) "author-email" not set`},
		"cluster":     {"image policy app --image-ref=app --select-semver=1.x --cluster=c", "--cluster does nothing"},
		"wait":        {"image policy app --image-ref=app --select-semver=1.x --export --wait", "--wait does nothing"},
		"source":      {"source git podinfo --url=https://x/y", "write a source git as YAML, or have flux create it"},
		"secret":      {"secret git podinfo", "nave apply -f -"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := exitOf(t.Context(), "/nowhere", append([]string{"create"}, strings.Fields(c.args)...)...)
			if code != 2 || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}

// TestCreate creates what it would export, and does not wait with --no-wait.
func TestCreate(t *testing.T) {
	config := waitHub(t)
	for _, want := range []string{"created", "unchanged"} {
		out, code := exitOf(t.Context(), config, "create", "image", "repository", "app", "--no-wait",
			"--image=ghcr.io/org/app")
		if code != 0 || out != "imagerepository/app "+want+"\n" {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
	exported, _ := nave(t, config, "export", "image", "repository", "app")
	again := filepath.Join(t.TempDir(), "app.yaml")
	write(t, filepath.Dir(again), "app.yaml", exported)
	if out, code := exitOf(t.Context(), config, "apply", "-f", again); code != 0 || !strings.Contains(out, "unchanged") {
		t.Errorf("exit code %d: %s", code, out)
	}
	out, code := exitOf(t.Context(), config, "create", "image", "repository", "app", "--insecure",
		"--image=127.0.0.1:1/app")
	if code != 1 || !strings.Contains(out, "imagerepository/app configured") ||
		!strings.Contains(out, "nave: ImageRepository flux-system/app: fetch http://127.0.0.1:1/app: ") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
