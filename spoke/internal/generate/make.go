package generate

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // as templates ask for it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// makeValue carries a recipe out: it returns one text, or a certificate and its key. Known are the values of earlier
// recipes.
func makeValue(r bundle.Recipe, known map[sealed.Placeholder]string) ([]string, error) {
	args, err := r.Read(func(text string) (string, error) { return fill(text, known) })
	if err != nil {
		return nil, err
	}
	if bundle.IsPair(r.Function) {
		return makeCertificate(r.Function, args)
	}
	text, err := makeText(r.Function, args)
	return []string{text}, err
}

// maxFilled limits an argument with its values, in bytes.
const maxFilled = 64 << 10

var (
	errUnknown = errors.New("an argument is the value of no earlier recipe")
	errLong    = fmt.Errorf("an argument has more than %d bytes", maxFilled)
)

// fill puts values into a text.
func fill(text string, known map[sealed.Placeholder]string) (string, error) {
	var b strings.Builder
	for {
		before, p, after, found := sealed.Cut(text)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		value, ok := known[p]
		if !ok {
			return "", errUnknown
		}
		if b.Len()+len(value) > maxFilled {
			return "", errLong
		}
		b.WriteString(value)
		text = after
	}
}

func makeText(function string, args []any) (string, error) {
	switch function {
	case "randAlphaNum", "randAlpha", "randNumeric", "randAscii":
		return randomText(alphabets[function], args[0].(int))
	case "randBytes":
		data := make([]byte, args[0].(int))
		_, _ = rand.Read(data) // never fails
		return base64.StdEncoding.EncodeToString(data), nil
	case "uuidv4":
		return randomUUID(), nil
	case "genPrivateKey":
		return makeKey(args[0].(string))
	case "bcrypt":
		return hashPassword(args[0].(string))
	case "htpasswd":
		hash, err := hashPassword(args[1].(string))
		return args[0].(string) + ":" + hash, err
	}
	return derive(function, args)
}

// derive returns the result of a function without chance.
func derive(function string, args []any) (string, error) {
	text, _ := args[len(args)-1].(string)
	switch function {
	case "lower":
		return strings.ToLower(text), nil
	case "upper":
		return strings.ToUpper(text), nil
	case "trunc":
		if n := args[0].(int); n < 0 {
			text = text[max(0, len(text)+n):]
		} else {
			text = text[:min(len(text), n)]
		}
		return text, nil
	case "sha1sum":
		sum := sha1.Sum([]byte(text)) //nolint:gosec // as templates ask for it
		return hex.EncodeToString(sum[:]), nil
	case "sha256sum":
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:]), nil
	case "sha512sum":
		sum := sha512.Sum512([]byte(text))
		return hex.EncodeToString(sum[:]), nil
	}
	return "", fmt.Errorf("function %.64q is not known", function)
}

const (
	digits    = "0123456789"
	lowercase = "abcdefghijklmnopqrstuvwxyz"
	uppercase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hexDigits = digits + "abcdef"
)

// alphabets are the characters of which the values of a function are. The values of other functions may have any.
var alphabets = map[string]string{
	"randAlphaNum": lowercase + uppercase + digits, "randAlpha": lowercase + uppercase, "randNumeric": digits,
	"randAscii": ascii(), "randBytes": lowercase + uppercase + digits + "+/=", "uuidv4": hexDigits + "-",
	"sha1sum": hexDigits, "sha256sum": hexDigits, "sha512sum": hexDigits,
}

// ascii returns the printable characters and the space.
func ascii() string {
	var b strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

// randomText returns a text of characters of an alphabet, each as likely as the others.
func randomText(alphabet string, length int) (string, error) {
	text := make([]byte, length)
	for i := range text {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", err
		}
		text[i] = alphabet[n.Int64()]
	}
	return string(text), nil
}

// randomUUID returns a UUID of version 4.
func randomUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// hashPassword returns the hash of a password. One of more than 72 bytes has none.
func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", errors.New("bcrypt takes passwords of at most 72 bytes")
	}
	return string(hash), nil
}
