package git

// Auth is the credentials of one source.
type Auth struct {
	Username, Password string
	BearerToken        string
	// CA, ClientCert and ClientKey are PEM.
	CA, ClientCert, ClientKey []byte
	// Identity is a private key, PEM or OpenSSH, IdentityPassword its passphrase, KnownHosts lines of a known_hosts file.
	Identity, IdentityPassword, KnownHosts []byte
}

// ParseAuth reads the data of a Secret with Flux's keys.
func ParseAuth(url string, data map[string][]byte) (Auth, error) { return Auth{}, nil }
