package seal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	maxRecipients = 32  // of one document
	maxRecipient  = 160 // bytes of a name: the metadata is not verified
)

// Document is an encrypted document of a SOPS file.
type Document struct {
	Index int
	// Recipients are the names of the keys that open it: each the type and the identifier, after the number of its key
	// group if there are several. At most 32.
	Recipients []string
}

// recipientKinds are the kinds of keys in the metadata of SOPS, in the order in which they are listed.
var recipientKinds = []struct {
	list, name string
	id         func(key map[string]any) string
}{
	{"kms", "AWS KMS", fieldOf("arn")},
	{"gcp_kms", "GCP KMS", fieldOf("resource_id")},
	{"azure_kv", "Azure Key Vault", func(key map[string]any) string {
		return fmt.Sprintf("%v/keys/%v/%v", key["vault_url"], key["name"], key["version"])
	}},
	{"hc_vault", "Vault", func(key map[string]any) string {
		return fmt.Sprintf("%v/v1/%v/keys/%v", key["vault_address"], key["engine_path"], key["key_name"])
	}},
	{"hckms", "Huawei KMS", fieldOf("key_id")},
	{"age", "age", fieldOf("recipient")},
	{"pgp", "OpenPGP", fieldOf("fp")},
}

func fieldOf(field string) func(map[string]any) string {
	return func(key map[string]any) string { return fmt.Sprint(key[field]) }
}

// Documents returns the encrypted documents of a SOPS file. What cannot be parsed is left out.
func Documents(data []byte, format bundle.Format) []Document {
	switch format {
	case bundle.Dotenv, bundle.INI:
		return []Document{{0, recipientsOf(flatMetadata(data))}}
	}
	var documents []Document
	for in, i := yaml.NewDecoder(bytes.NewReader(data)), 0; ; i++ {
		var doc struct {
			SOPS map[string]any `yaml:"sops"`
		}
		err := in.Decode(&doc)
		if wrong := (*yaml.TypeError)(nil); err != nil && !errors.As(err, &wrong) {
			return documents // the end, or no YAML
		}
		if err == nil && doc.SOPS != nil {
			documents = append(documents, Document{i, recipientsOf(doc.SOPS)})
		}
	}
}

// recipientsOf returns the names of the keys in the metadata. Keys beside key_groups are the only group.
func recipientsOf(metadata map[string]any) []string {
	names := groupRecipients(metadata, "")
	if groups, _ := metadata["key_groups"].([]any); len(names) == 0 {
		for i, group := range groups {
			group, _ := group.(map[string]any)
			names = append(names, groupRecipients(group, fmt.Sprintf("group %d: ", i))...)
		}
	}
	return names[:min(len(names), maxRecipients)]
}

func groupRecipients(group map[string]any, prefix string) (names []string) {
	for _, kind := range recipientKinds {
		keys, _ := group[kind.list].([]any)
		for _, key := range keys {
			if key, ok := key.(map[string]any); ok {
				names = append(names, prefix+kind.name+" "+telemetry.Line(kind.id(key), maxRecipient))
			}
		}
	}
	return names
}

// flatLine is an entry of metadata in a format without nesting: a field of a key in a list.
var flatLine = regexp.MustCompile(`(?m)^(?:sops_)?(\w+?)__list_(\d{1,3})__map_(\w+?)\s*=\s*(.*?)\s*$`)

// flatMetadata returns the lists of keys in the metadata of a dotenv or INI file.
func flatMetadata(data []byte) map[string]any {
	lists := map[string]map[int]any{}
	for _, m := range flatLine.FindAllStringSubmatch(string(data), -1) {
		list, field := m[1], m[3]
		i, _ := strconv.Atoi(m[2])
		if lists[list] == nil {
			lists[list] = map[int]any{}
		}
		if lists[list][i] == nil {
			lists[list][i] = map[string]any{}
		}
		lists[list][i].(map[string]any)[field] = strings.Trim(m[4], "`\"")
	}
	metadata := map[string]any{}
	for name, list := range lists {
		var keys []any
		for _, i := range slices.Sorted(maps.Keys(list)) {
			keys = append(keys, list[i])
		}
		metadata[name] = keys
	}
	return metadata
}
