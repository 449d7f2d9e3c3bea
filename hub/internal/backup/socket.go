package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// SocketName is the socket in the data folder of a running hub that gives a backup to whoever connects. Only the owner
// of the folder can, who has all its files anyway; no client of the network reaches it.
const SocketName = "backup.sock"

// patience is how long a reader of a backup may read nothing. The store keeps what changes as long as it is read.
const patience = time.Minute

// ErrNoHub: no hub serves the data folder.
var ErrNoHub = errors.New("no hub runs on the data folder")

// at calls use with a short path of the socket: the path of a socket has at most some hundred bytes, and that of a data
// folder may be longer.
func at(folder string, use func(path string) error) error {
	if runtime.GOOS != "linux" {
		return use(filepath.Join(folder, SocketName))
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), SocketName))
}

// Listen makes the socket of a data folder, in place of one that a hub left. The caller is the only hub on the folder.
func Listen(folder string) (l net.Listener, err error) {
	if err := os.Remove(filepath.Join(folder, SocketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = at(folder, func(path string) error {
		if l, err = net.Listen("unix", path); err != nil {
			return err
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // by then the path is no more
		return os.Chmod(path, 0o600)
	})
	return l, err
}

// Serve writes a backup to each connection, one after the other, until the listener is closed.
func Serve(ctx context.Context, l net.Listener, s Store, o func() Options, failed func(error)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		if err := serve(ctx, &patient{c}, s, o()); err != nil {
			failed(err)
		}
		stop()
		_ = c.Close() // the reader knows by the end of the archive whether it has all
	}
}

// serve answers one caller, whose first byte says whether the backup is one without keys.
func serve(ctx context.Context, c net.Conn, s Store, o Options) error {
	var asked [1]byte
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, asked[:]); err != nil {
		return err
	}
	o.WithoutKeys = asked[0] == withoutKeys
	return Write(ctx, c, s, o)
}

const withKeys, withoutKeys = 'k', 'n'

// patient is a connection whose reader must go on reading.
type patient struct{ net.Conn }

func (p *patient) Write(data []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return p.Conn.Write(data)
}

// Dial asks the hub that runs on a data folder for a backup. If none does, the error is ErrNoHub.
func Dial(ctx context.Context, folder string, noKeys bool) (archive io.ReadCloser, err error) {
	err = at(folder, func(path string) error {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		asked := byte(withKeys)
		if noKeys {
			asked = withoutKeys
		}
		archive = c
		_, err = c.Write([]byte{asked})
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w %s", ErrNoHub, folder)
	}
	return archive, err
}
