package kube

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan"
)

var errNear = fmt.Errorf("%w: the kubeconfig leads to an address of this machine's own link, where clouds serve credentials; "+
	"give the API server's own address, or set Options.AllowLinkLocal if a cluster is there", appspan.ErrInvalid)

// dialFar connects to where a kubeconfig says, but for this machine's own link:
// clouds serve their machines' credentials there. It looks at the addresses that
// are connected to, not at names, which may say something else the next time.
func dialFar() func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err == nil && near(at.Addr().Unmap()) {
			return errNear
		}
		return nil
	}}
	return dialer.DialContext
}

// near reports whether an address is of the machine's own link, by RFC 3927 and
// RFC 4291, or one at which a cloud serves its machines over IPv6.
func near(addr netip.Addr) bool {
	return addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() || addr == netip.MustParseAddr("fd00:ec2::254")
}
