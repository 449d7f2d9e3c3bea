package hub

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// How often the hub logs that a certificate is not valid now. The rate is limited because any caller may present one.
const (
	handshakeLogEvery = 10 * time.Second
	handshakeLogBurst = 10
)

// handshakes makes TLS handshakes. If the certificate of a caller is not valid by the hub's clock, it logs that,
// because the caller gets only an alert.
type handshakes struct {
	credentials.TransportCredentials
	now     func() time.Time
	log     *slog.Logger
	logging *rate.Limiter
}

func (h *Hub) handshakes() credentials.TransportCredentials {
	config := identity.ServerTLS(h.credential)
	config.Time = h.config.Now
	return &handshakes{
		TransportCredentials: credentials.NewTLS(config), now: h.config.Now, log: h.config.Log,
		logging: rate.NewLimiter(rate.Every(handshakeLogEvery), handshakeLogBurst),
	}
}

// ServerHandshake implements credentials.TransportCredentials.
func (h *handshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0 && h.logging.Allow() {
		if cause := identity.CheckTime(refused.UnverifiedCertificates[0], h.now()); cause != nil {
			h.log.Warn("a certificate is refused: if the clock of this hub is wrong, correct it; if the certificate has "+
				"expired, replace it",
				telemetry.Address(raw.RemoteAddr().String()), telemetry.Err(cause))
		}
	}
	return conn, info, err
}
