package seal

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// sealWhole replaces a file by one placeholder. The placeholder depends on the file without its metadata, so that it
// stays if only the recipients change. If the file is malformed, the spoke reports the error, for the objects that use
// it only.
func sealWhole(f *File, data []byte, salt sealed.Salt, as bundle.Format) {
	placeholder := salt.Placeholder(string(withoutMetadata(data, f.Format)), []string{string(as)})
	f.Values = []bundle.SealedValue{{Placeholder: string(placeholder), Type: "bytes", Text: as}}
	f.Leaves, f.Text = []string{string(data)}, []byte(placeholder)
}

// withoutMetadata returns the content of a file without the metadata of SOPS. If the file cannot be parsed,
// withoutMetadata returns it as it is.
func withoutMetadata(data []byte, format bundle.Format) []byte {
	var left []byte
	switch format {
	case bundle.YAML:
		left = yamlWithoutMetadata(data)
	case bundle.JSON, bundle.Binary:
		left = jsonWithoutMetadata(data)
	case bundle.Dotenv:
		return keepLines(data, func(line string) bool { return !strings.HasPrefix(line, "sops_") })
	case bundle.INI:
		inMetadata := false
		return keepLines(data, func(line string) bool {
			if text := strings.TrimSpace(line); strings.HasPrefix(text, "[") {
				inMetadata = text == "[sops]"
			}
			return !inMetadata
		})
	}
	if left == nil {
		return data
	}
	return left
}

func yamlWithoutMetadata(data []byte) []byte {
	var out bytes.Buffer
	in, encoder := yaml.NewDecoder(bytes.NewReader(data)), yaml.NewEncoder(&out)
	for {
		var doc yaml.Node
		if in.Decode(&doc) != nil {
			return out.Bytes()
		}
		n := root(&doc)
		if i := metadataIndex(n); i >= 0 {
			n.Content = append(n.Content[:i], n.Content[i+2:]...)
		}
		if encoder.Encode(&doc) != nil {
			return nil
		}
	}
}

// jsonWithoutMetadata returns the members of a JSON object in their order, without the metadata of SOPS. If data cannot
// be parsed, jsonWithoutMetadata returns nil.
func jsonWithoutMetadata(data []byte) []byte {
	in := json.NewDecoder(bytes.NewReader(data))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	var out bytes.Buffer
	for in.More() {
		key, err := in.Token()
		var value json.RawMessage
		if err != nil || in.Decode(&value) != nil {
			return nil
		}
		if name, _ := key.(string); name != "sops" {
			out.WriteString(name + "\x00")
			out.Write(value)
		}
	}
	return out.Bytes()
}

func keepLines(data []byte, keep func(line string) bool) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		if keep(line) {
			out.WriteString(line)
		}
	}
	return out.Bytes()
}

// sealDotenv seals the values of a dotenv file, line by line. It leaves out encrypted comments.
func sealDotenv(f *File, data []byte, salt sealed.Salt, _ Use) error {
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		key, value, isEntry := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch {
		case strings.HasPrefix(line, "sops_"):
		case strings.HasPrefix(line, "#"):
			if !strings.Contains(line, string(leafMark)) {
				out.WriteString(line)
			}
		case isEntry && strings.HasPrefix(value, string(leafMark)):
			path := []string{key}
			placeholder := salt.Placeholder(value, path)
			f.Values = append(f.Values, bundle.SealedValue{Placeholder: string(placeholder), Path: path, Type: "str",
				Text: bundle.Dotenv})
			f.Leaves = append(f.Leaves, value)
			out.WriteString(key + "=" + string(placeholder) + "\n")
		default:
			out.WriteString(line)
		}
	}
	f.Text = []byte(out.String())
	return nil
}
