package registry

import "strings"

// TagFile is the one file in the artifact of an ImageRepository. It has the tags, one in a line, sorted bytewise.
const TagFile = "tags"

// FormatTags returns the content of a TagFile for tags that are sorted.
func FormatTags(tags []string) []byte {
	var b strings.Builder
	for _, tag := range tags {
		b.WriteString(tag)
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// ParseTags returns the tags in a TagFile.
func ParseTags(content []byte) []string {
	text := strings.TrimSuffix(string(content), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
