package bundle

import "bytes"

// ObjectValues counts the values of a JSON text: texts, numbers, words, lists and maps; and of them the maps that are
// not empty, which take most memory. A text that is not JSON has some count as well.
func ObjectValues(json []byte) (values, maps int) {
	values = 1
	for i := 0; i < len(json); i++ {
		switch json[i] {
		case '"':
			i = endOfText(json, i)
		case ',':
			values++
		case '[', '{':
			first := skipSpace(json, i+1)
			if first < len(json) && json[first] != ']' && json[first] != '}' {
				values++
				if json[i] == '{' {
					maps++
				}
			}
		}
	}
	return values, maps
}

// endOfText returns where the text ends that begins with the quote at i.
func endOfText(json []byte, i int) int {
	for i++; i < len(json) && json[i] != '"'; i++ {
		if json[i] == '\\' {
			i++
		}
	}
	return i
}

func skipSpace(json []byte, i int) int {
	for i < len(json) && (json[i] == ' ' || json[i] == '\t' || json[i] == '\n' || json[i] == '\r') {
		i++
	}
	return i
}

// leafMark begins an encrypted leaf of SOPS, which is one value whatever is in it.
var leafMark = []byte("ENC[AES256_GCM,")

// SealedFileValues returns how many values, or values with their keys, a file of any format of SOPS has at most. It
// counts the characters that can begin one, wherever they stand, so a text in the clear with many of them counts for
// more than it is. In dotenv and INI each line can be one.
func SealedFileValues(file []byte) int { return max(yamlValues(file), bytes.Count(file, []byte("\n"))) }

func yamlValues(yaml []byte) int {
	values := 1
	for i := 0; i < len(yaml); i++ {
		switch c := yaml[i]; c {
		case ',', '[', '{', '#':
			values++
		case ':':
			if !inWord(yaml, i-1) || !inWord(yaml, i+1) {
				values++
			}
		case '-', '?':
			if !inWord(yaml, i+1) {
				values++
			}
		case leafMark[0]:
			i = endOfLeaf(yaml, i)
		}
	}
	return values
}

// inWord reports whether a character next to a mark makes it part of a word.
func inWord(yaml []byte, i int) bool {
	return i >= 0 && i < len(yaml) && (isBase64(yaml[i]) || yaml[i] == '.' || yaml[i] == '_' || yaml[i] == '-')
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}

// endOfLeaf returns the last character of the encrypted leaf at i; i itself if none is there.
func endOfLeaf(yaml []byte, i int) int {
	if !bytes.HasPrefix(yaml[i:], leafMark) {
		return i
	}
	for end := i + len(leafMark); end < len(yaml); end++ {
		switch c := yaml[end]; {
		case c == ']':
			return end
		case !isBase64(c) && c != ':' && c != ',' && c != '_':
			return i
		}
	}
	return i
}
