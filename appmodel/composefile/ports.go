package composefile

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
)

// ports takes over what a service listens on, and makes routes of what it
// publishes.
func (im *importer) ports(s *service) {
	for _, p := range s.cfg.Ports {
		im.published(s, p)
	}
	for _, text := range s.cfg.Expose {
		k := s.key("expose", text)
		first, last, proto, ok := parseExpose(text)
		if !ok {
			im.fault(k, fmt.Sprintf("%q is no port", cut(text)), "write a number from 1 to 65535, or 8000-8010/udp")
			continue
		}
		for n := first; n <= last; n++ {
			im.notes.mapped(s.addPort(n, proto, ""), k)
		}
	}
	if len(s.comp.Ports) > 0 || s.known == nil || s.hostNetwork() {
		return
	}
	main := s.known.ports[0]
	to := s.addPort(main.number, appmodel.TCP, main.protocol)
	im.notes.degraded(to, fmt.Sprintf("port %d taken from the image's known default", main.number), s.key("image"))
}

func (s *service) hostNetwork() bool { return s.cfg.NetworkMode == "host" }

// published takes over one port with its route.
func (im *importer) published(s *service, p types.ServicePortConfig) {
	proto := appmodel.Protocol(strings.ToUpper(p.Protocol))
	k := s.key("ports", portKey(strconv.Itoa(int(p.Target)), p.Protocol))
	if p.Target < 1 || p.Target > 65535 {
		im.fault(k, fmt.Sprintf("port %d", p.Target), "write a number from 1 to 65535")
		return
	}
	number := int(p.Target)
	isHTTP := s.servesWeb(p)
	speaks, _ := s.known.speaks(number)
	if speaks == "" {
		speaks = p.AppProtocol
	}
	if isHTTP {
		speaks = "http"
	}
	to := s.addPort(number, proto, speaks)
	ref := s.port(number, proto)
	if p.Name != "" && isDNSLabel(p.Name) && len(p.Name) <= 15 && !s.portNamed(p.Name) {
		ref.Name = p.Name
	}
	host := hostPort(p)
	if host > 65535 {
		im.fault(k, fmt.Sprintf("published port %d", host), "write a number from 1 to 65535")
		return
	}
	switch {
	case loopback(p.HostIP):
		im.notes.degraded(to, "published on the machine itself only: not reachable from outside", k)
		return
	case p.HostIP != "" && p.HostIP != "0.0.0.0" && p.HostIP != "::":
		im.notes.degraded(to, "published on every address", k)
	}
	if p.Mode == "host" {
		im.notes.unsupported("ports are published by a load balancer, not by each machine", k.child("mode"))
	}
	if proto == appmodel.SCTP {
		im.notes.degraded(to, "no routes for SCTP: reachable in the cluster only", k)
		return
	}
	takes, why := "", ""
	switch main := im.mainWeb; {
	case isHTTP && main.service == s && main.port == number:
		if takes = "http"; host != 0 {
			why = fmt.Sprintf("an http route; port %d of the machine is not kept, routes have hosts", host)
		}
	default:
		if host == 0 {
			host = number
		}
		if takes = fmt.Sprintf("%d/%s", host, proto); isHTTP {
			why = fmt.Sprintf("a tcp route at port %d: the http route to components[%s] takes every host; give both hosts to make it one too", host, main.service.id)
		}
	}
	if other, taken := im.taken[takes]; taken {
		if at := "routes[" + other.route + "]"; other.service == s && other.port == number {
			im.notes.mapped(at, k) // the same, on another address of the machine
		} else {
			im.notes.degraded(to, fmt.Sprintf("%s is at port %d: reachable in the cluster only", at, host), k)
		}
		return
	}
	id := s.id
	if s.routes++; s.routes > 1 {
		id = label(fmt.Sprintf("%s-%s", s.id, ref.Name))
	}
	r := appmodel.Route{ID: im.names.routes.takeAs(id)}
	im.taken[takes] = published{s, number, r.ID}
	backend := []appmodel.Backend{{Component: s.id, Port: appmodel.PortRef(ref.Name)}}
	switch {
	case takes == "http":
		r.HTTP = &appmodel.HTTPRoute{Rules: []appmodel.HTTPRule{{Path: "/", To: backend}}}
	case proto == appmodel.UDP:
		r.UDP = &appmodel.StreamRoute{Port: host, To: backend}
	default:
		r.TCP = &appmodel.StreamRoute{Port: host, To: backend}
	}
	im.notes.how("routes["+r.ID+"]", why, k)
	im.app.Routes = append(im.app.Routes, r)
}

// published is a port of a service, and the route that leads to it.
type published struct {
	service *service
	port    int
	route   string
}

// findMainWeb finds the web port that gets the application's http route, which
// has no hosts and so takes every request: the one published as 80, 443, 8080,
// 8000 or 3000, in this order, else the first one that usually serves pages,
// else the first one. Services that are off come last.
func (im *importer) findMainWeb() {
	best := 0
	for _, s := range im.services {
		for _, p := range s.cfg.Ports {
			if !s.servesWeb(p) || loopback(p.HostIP) {
				continue
			}
			order := []int{3000, 8000, 8080, 443, 80}
			rank := 3 + 2*slices.Index(order, hostPort(p))
			if rank == 1 && webPort(int(p.Target)) && (s.known == nil || !s.known.database) {
				rank = 2 // pages, not the API of a database
			}
			if len(s.cfg.Profiles) == 0 {
				rank += 100
			}
			if rank > best {
				best, im.mainWeb = rank, published{service: s, port: int(p.Target)}
			}
		}
	}
}

// servesWeb reports whether a port serves plain HTTP.
func (s *service) servesWeb(p types.ServicePortConfig) bool {
	if !strings.EqualFold(p.Protocol, "tcp") {
		return false
	}
	speaks, known := s.known.speaks(int(p.Target))
	return p.AppProtocol == "http" || p.AppProtocol == "" && (speaks == "http" || !known && s.webByNumber(int(p.Target)))
}

// hostPort is the first port of the machine, zero if it is any.
func hostPort(p types.ServicePortConfig) int {
	first, _, _ := strings.Cut(p.Published, "-")
	n, _ := strconv.Atoi(first)
	return n
}

// webByNumber: images that are known for other things do not serve web pages
// on a number alone, nor does a port that is published for UDP too.
func (s *service) webByNumber(number int) bool {
	if s.known != nil && s.known.ports[0].protocol != "http" {
		return false
	}
	for _, p := range s.cfg.Ports {
		if int(p.Target) == number && p.Protocol == "udp" {
			return false
		}
	}
	return webPort(number)
}

func loopback(ip string) bool {
	parsed := net.ParseIP(ip)
	return parsed != nil && parsed.IsLoopback()
}

// parseExpose reads 3000, 3000-3005, 3000/udp.
func parseExpose(text string) (first, last int, proto appmodel.Protocol, ok bool) {
	m := regexp.MustCompile(`^(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?$`).FindStringSubmatch(text)
	if m == nil {
		return 0, 0, "", false
	}
	first, _ = strconv.Atoi(m[1])
	last = first
	if m[2] != "" {
		last, _ = strconv.Atoi(m[2])
	}
	proto = appmodel.TCP
	if m[3] != "" {
		proto = appmodel.Protocol(strings.ToUpper(m[3]))
	}
	return first, last, proto, first >= 1 && last >= first && last <= 65535
}

// countPorts is how many ports a list names at most.
func countPorts(list []any) int {
	total := 0
	for _, e := range list {
		n := 1
		text := fmt.Sprint(e)
		if m, ok := e.(map[string]any); ok {
			text = fmt.Sprint(m["target"])
		}
		for _, m := range regexp.MustCompile(`(\d+)-(\d+)`).FindAllStringSubmatch(text, -1) {
			a, errA := strconv.Atoi(m[1])
			b, errB := strconv.Atoi(m[2])
			if errA != nil || errB != nil {
				return 1 << 20
			}
			n = max(n, b-a+1)
		}
		total += n
	}
	return total
}

// addPort adds a port unless it is there, and gives its path.
func (s *service) addPort(number int, proto appmodel.Protocol, speaks string) string {
	if proto == "" {
		proto = appmodel.TCP
	}
	if s.port(number, proto) == nil {
		if speaks == "" {
			speaks, _ = s.known.speaks(number)
		}
		name := speaks
		if name == "" || s.portNamed(name) {
			name = fmt.Sprintf("%s-%d", strings.ToLower(string(proto)), number)
		}
		p := appmodel.Port{Name: name, Port: number, AppProtocol: speaks}
		if proto != appmodel.TCP {
			p.Protocol = proto
		}
		s.comp.Ports = append(s.comp.Ports, p)
	}
	suffix := ""
	if proto != appmodel.TCP {
		suffix = "/" + string(proto)
	}
	return fmt.Sprintf("components[%s].ports[%d%s]", s.id, number, suffix)
}

func (s *service) port(number int, proto appmodel.Protocol) *appmodel.Port {
	for i := range s.comp.Ports {
		p := &s.comp.Ports[i]
		if p.Port == number && (p.Protocol == proto || p.Protocol == "" && proto == appmodel.TCP) {
			return p
		}
	}
	return nil
}

func (s *service) portNamed(name string) bool {
	for _, p := range s.comp.Ports {
		if p.Name == name {
			return true
		}
	}
	return false
}
