package seal

import (
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
)

const everyKind = `a: ENC[AES256_GCM,data:x]
sops:
    kms: [{arn: "arn:aws:kms:eu-west-1:1:key/k", role: r, enc: x}]
    gcp_kms: [{resource_id: projects/p/k, enc: x}]
    azure_kv: [{vault_url: "https://v.vault.azure.net", name: k, version: "1", enc: x}]
    hc_vault: [{vault_address: "https://v", engine_path: transit, key_name: k, enc: x}]
    hckms: [{key_id: "eu:k", enc: x}]
    age: [{recipient: age1x, enc: x}]
    pgp: [{fp: AB12, enc: x}]
    mac: x
`

// TestDocuments_recipients names each kind of key as sops and the spoke do.
func TestDocuments_recipients(t *testing.T) {
	all := []string{"AWS KMS arn:aws:kms:eu-west-1:1:key/k", "GCP KMS projects/p/k",
		"Azure Key Vault https://v.vault.azure.net/keys/k/1", "Vault https://v/v1/transit/keys/k", "Huawei KMS eu:k",
		"age age1x", "OpenPGP AB12"}
	for name, tt := range map[string]struct {
		file   string
		format bundle.Format
		want   []Document
	}{
		"every_kind": {everyKind, bundle.YAML, []Document{{0, all}}},
		"documents": {"a: b\n---\n" + everyKind + "---\n" + everyKind, bundle.YAML,
			[]Document{{1, all}, {2, all}}},
		"groups": {"sops:\n  key_groups:\n  - age: [{recipient: age1x}]\n  - pgp: [{fp: AB12}]\n", bundle.YAML,
			[]Document{{0, []string{"group 0: age age1x", "group 1: OpenPGP AB12"}}}},
		"json":    {`{"a": 1, "sops": {"age": [{"recipient": "age1x"}]}}`, bundle.JSON, []Document{{0, all[5:6]}}},
		"no_sops": {"sops: text\n", bundle.YAML, nil},
		"not_lists": {"sops: {age: x, pgp: [x], kms: [{arn: [1]}], key_groups: [x]}\n", bundle.YAML,
			[]Document{{0, []string{"AWS KMS [1]"}}}},
		"no_yaml": {"sops: {", bundle.YAML, nil},
		"dotenv": {"A=b\nsops_age__list_0__map_recipient=age1x\nsops_age__list_1__map_recipient=age1y\nsops_mac=x\n",
			bundle.Dotenv, []Document{{0, []string{"age age1x", "age age1y"}}}},
		"ini": {"[a]\nb = c\n[sops]\npgp__list_0__map_fp = AB12\nmac = x\n", bundle.INI, []Document{{0, all[6:]}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Documents([]byte(tt.file), tt.format)
			if !slices.EqualFunc(got, tt.want, func(a, b Document) bool {
				return a.Index == b.Index && slices.Equal(a.Recipients, b.Recipients)
			}) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// FuzzDocuments bounds what is told of a file that nobody has verified.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(everyKind), "yaml")
	f.Add([]byte("sops_age__list_0__map_recipient=age1x\n"), "dotenv")
	f.Add([]byte("a: &a [*a]\nsops: {age: [{recipient: *a}]}\n"), "yaml")
	for _, name := range []string{"secret.yaml", "multi.yaml", "app.env", "app.ini", "settings.json", "blob.bin"} {
		data := fixture(f, name)
		format, _ := Detect(data)
		f.Add(data, string(format))
		if documents := Documents(data, format); len(documents) == 0 || len(documents[0].Recipients) == 0 ||
			!strings.HasPrefix(documents[0].Recipients[0], "age age1") {
			f.Errorf("%s: %v", name, documents)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, format string) {
		for _, d := range Documents(data, bundle.Format(format)) {
			if len(d.Recipients) > maxRecipients {
				t.Errorf("%d recipients", len(d.Recipients))
			}
			for _, r := range d.Recipients {
				if len(r) > maxRecipient+64 || strings.ContainsAny(r, "\n\x1b") {
					t.Errorf("recipient %q", r)
				}
			}
		}
	})
}
