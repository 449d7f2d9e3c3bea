package migrate

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/navefleet/nave/shared/manifest"
)

func TestFoldedTexts(t *testing.T) {
	tree := fstest.MapFS{
		"app/cm.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: a}\ndata:\n" +
			"  text: >-\n    one\n    two\n\n    three\n---\napiVersion: v1\nkind: ConfigMap\n" +
			"metadata: {name: folded}\ndata:\n" +
			"  text: >-\n    one\n      more indented\n    two\n")},
		"app/values.yaml":    {Data: []byte("text: >-\n  one\n    two\n  three\n")},
		"app/broken.yml":     {Data: []byte("a: >-\n b\n\tc: [")},
		"app/other.txt":      {Data: []byte("a: >-\n  one\n    two\n  three\n")},
		".git/objects/a.yml": {Data: []byte("kind: A\nmetadata: {name: a}\ntext: >-\n  one\n    two\n  three\n")},
	}
	got, err := FoldedTexts(tree)
	want := []Folded{{File: "app/cm.yaml", Line: 15, Object: "ConfigMap folded"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestRecipients(t *testing.T) {
	const key = "age1hl50ckx7u7cdvz3vrzz9hwg5mpnwnqv9f0gslkxrw5y9gfmnyapqr8cxvl"
	const fp = "85D77543B3D624B63CEA9E6DBC17301B491B3F21"
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"yaml":   {"sops:\n  age:\n  - recipient: " + key + "\n  pgp:\n  - fp: " + fp + "\n", []string{fp, key}},
		"json":   {`{"sops":{"age":[{"recipient":"` + key + `"}],"pgp":[{"fp":"` + fp + `"}]}}`, []string{fp, key}},
		"dotenv": {"sops_age__list_0__map_recipient=" + key + "\nsops_pgp__list_0__map_fp=" + fp, []string{fp, key}},
		"twice":  {"- recipient: " + key + "\n- recipient: " + key, []string{key}},
		"aws":    {"kms:\n- arn: arn:aws:kms:us-east-1:123456789012:key/a-b", []string{"arn:aws:kms:us-east-1:123456789012:key/a-b"}},
		"azure":  {"azure_kv:\n- vault_url: https://v.vault.azure.net\n  name: k", []string{"https://v.vault.azure.net"}},
		"plain":  {"data: {a: b}", nil},
	} {
		if got := Recipients([]byte(c.file)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestParseEntry(t *testing.T) {
	for entry, want := range map[string]manifest.ID{
		"shop_web_apps_Deployment": {Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"},
		"shop_web__Service":        {Kind: "Service", Namespace: "shop", Name: "web"},
		"_shop__Namespace":         {Kind: "Namespace", Name: "shop"},
		"_system__node_rbac.authorization.k8s.io_ClusterRole": {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole",
			Name: "system:node"},
	} {
		if got, ok := ParseEntry(entry); !ok || got != want {
			t.Errorf("%s: %+v, %t", entry, got, ok)
		}
	}
	for _, entry := range []string{"", "a", "a_b", "a_b_c", "a___", "___Kind"} {
		if got, ok := ParseEntry(entry); ok {
			t.Errorf("%q: %+v", entry, got)
		}
	}
}

// FuzzParseEntry checks that an entry that is read has a kind and a name.
func FuzzParseEntry(f *testing.F) {
	for _, entry := range []string{"shop_web_apps_Deployment", "_a__b__c_g_K", "____", "_\x00_", "a_b_c_d_e_f"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		if id, ok := ParseEntry(entry); ok && (id.Kind == "" || id.Name == "") {
			t.Errorf("%+v", id)
		}
	})
}

// FuzzFolded checks that any file is read to its end.
func FuzzFolded(f *testing.F) {
	f.Add([]byte("kind: A\nmetadata: {name: a}\ntext: >-\n  one\n    two\n  three\n"))
	f.Add([]byte("a: &a [*a, >\n  b\n]"))
	f.Add([]byte("{kind: A, metadata: {name: &n x}, b: *n}"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		foldedIn("a.yaml", data)
		Recipients(data)
	})
}
