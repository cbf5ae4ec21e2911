package appmodel

import (
	"strings"
	"time"
)

// zoneArea reports whether a name is an area of the IANA time zone database.
func zoneArea(name string) bool {
	switch name {
	case "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Brazil", "Canada", "Chile",
		"Etc", "Europe", "Indian", "Mexico", "Pacific", "US":
		return true
	}
	return false
}

// timeZone checks a zone against the time zones of this machine, if it has
// any, and else by its area alone: what no cluster knows is to be refused here
// and not in the middle of an apply.
func (v *checker) timeZone(zone string, at Path) {
	if zone == "" {
		return
	}
	area, _, hasArea := strings.Cut(zone, "/")
	known := len(zone) <= 64 && zoneName.MatchString(zone) && !strings.EqualFold(zone, "local") &&
		(!hasArea || zoneArea(area))
	if known && v.hasZones() {
		known = v.loadsZone(zone)
	}
	if !known {
		v.errorf(at, "write for example Asia/Shanghai or Etc/UTC", "%q is not a time zone", cut(zone))
	}
}

// hasZones reports whether this machine has a time zone database.
func (v *checker) hasZones() bool { return v.loadsZone("Asia/Shanghai") }

// loadsZone reports whether this machine knows a zone; each is looked up once.
func (v *checker) loadsZone(zone string) bool {
	known, asked := v.zones[zone]
	if !asked {
		_, err := time.LoadLocation(zone)
		known = err == nil
		if v.zones == nil {
			v.zones = map[string]bool{}
		}
		v.zones[zone] = known
	}
	return known
}
