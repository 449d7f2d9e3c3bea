package image

import (
	"bytes"
	"regexp"
)

// nearMarker matches a comment that looks like a marker, such as # {'$imagePolcy': "x"} or # imagepolicy: ns:name.
var nearMarker = regexp.MustCompile(
	`(?i)#[ \t]*(?:(?:\{[ \t]*["']?\$?|["']?\$)im[a-z]{1,4}[-_]?p[a-z]{2,7}[ \t]*["']?[ \t]*:` +
		`|image[-_]?policy[ \t]*:[ \t]*["']?[a-z0-9.-]+:[a-z0-9.-]+)`)

const notMarker = "the comment looks like a marker and is none: want " +
	`# {"$imagepolicy": "namespace:name"}, with double quotes and in lower case`

// nearMarkers returns the lines with a comment that looks like a marker, without those that are commented out.
func nearMarkers(content []byte) (all []Problem) {
	if !nearMarker.Match(content) {
		return nil
	}
	for i, l := range linesOf(content) {
		text := content[l.start:l.end]
		at := nearMarker.FindIndex(text)
		if at == nil || bytes.Contains(text, []byte(token)) {
			continue
		}
		if before := bytes.TrimLeft(text[:at[0]], " \t"); !bytes.HasPrefix(before, []byte("#")) {
			all = append(all, Problem{i + 1, notMarker})
		}
	}
	return all
}
