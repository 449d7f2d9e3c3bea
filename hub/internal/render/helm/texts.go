package helm

import (
	"encoding/base64"
	"strconv"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// isSecret reports whether the values in the data of an object are base64.
func isSecret(o *manifest.Object) bool { return o.GetAPIVersion() == "v1" && o.GetKind() == "Secret" }

// mapTexts returns a copy of a JSON value with every text, but no key, replaced by fn. A whole number that fn replaces
// becomes a text. If decode is set, the value is a Secret: base64 in its data is decoded for fn, and encoded again if
// fn changes the text. So is base64 in each field caBundle.
func mapTexts(v any, decode bool, fn func(string) string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if data, ok := value.(map[string]any); ok && decode && key == "data" {
				out[key] = mapTexts(data, false, func(text string) string { return inBase64(text, fn) })
				continue
			}
			if text, ok := value.(string); ok && sealed.IsBase64(key) {
				out[key] = inBase64(text, fn)
				continue
			}
			out[key] = mapTexts(value, false, fn)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = mapTexts(value, false, fn)
		}
		return out
	case string:
		return fn(v)
	case int64:
		number := strconv.FormatInt(v, 10)
		if text := fn(number); text != number {
			return text
		}
	}
	return v
}

// inBase64 replaces the text that base64 encodes. If the text is not base64, such as a placeholder, inBase64 replaces
// the text itself.
func inBase64(text string, fn func(string) string) string {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fn(text)
	}
	if changed := fn(string(data)); changed != string(data) {
		return base64.StdEncoding.EncodeToString([]byte(changed))
	}
	return text
}
