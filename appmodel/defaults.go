package appmodel

import (
	"reflect"
	"strconv"
)

// WithDefaults returns a copy of a with every default filled in: those that
// are constant, and those that follow from other fields (servicePort, the
// accessMode and scope of a volume, the names of needs, metrics and rules).
// Components that run pods get a Security, those with replicas a Scale, jobs
// and crons a Job. It does not validate.
func WithDefaults(a *Application) *Application {
	a = Clone(a)
	if a == nil {
		return nil
	}
	for i := range a.Components {
		impliedBlocks(&a.Components[i])
	}
	fillStatic(reflect.ValueOf(a).Elem())
	for i := range a.Components {
		containerOnly(&a.Components[i])
	}
	computedDefaults(a, defaultFill{})
	return a
}

// impliedBlocks adds the blocks that a kind always has.
func impliedBlocks(c *Component) {
	if c.Kind.HasPods() && c.Security == nil {
		c.Security = &Security{}
	}
	switch c.Kind {
	case KindService, KindStateful, KindFunction:
		if c.Scale == nil {
			c.Scale = &Scale{}
		}
	case KindJob, KindCron:
		if c.Job == nil {
			c.Job = &Job{}
		}
	}
}

// containerOnly takes the defaults of pods out of single containers.
func containerOnly(c *Component) {
	for _, list := range [][]NamedContainer{c.InitContainers, c.Sidecars} {
		for i := range list {
			if s := list[i].Security; s != nil && s.Level == LevelRestricted {
				s.Level = ""
			}
			if l := list[i].Lifecycle; l != nil && l.GracePeriod == defaultGrace {
				l.GracePeriod = 0
			}
		}
	}
}

const defaultGrace = Duration(30e9)

// fillStatic fills in the constant defaults of v and what it holds.
func fillStatic(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillStatic(v.Elem())
		}
	case reflect.Slice:
		if shapeOf(v.Type().Elem()) != nil {
			for i := range v.Len() {
				fillStatic(v.Index(i))
			}
		}
	case reflect.Struct:
		s := shapeOf(v.Type())
		if s == nil {
			return
		}
		for _, f := range s.fields {
			fv := v.FieldByIndex(f.index)
			if f.def != "" && fv.IsZero() {
				setDefault(fv, f.def)
				continue
			}
			fillStatic(fv)
		}
	}
}

// setDefault sets a field to a default of its tag.
func setDefault(v reflect.Value, text string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if d, ok := v.Addr().Interface().(*Duration); ok {
		_ = d.UnmarshalText([]byte(text)) // a test reads every default
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		n, _ := strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
	}
}

// defaultVisitor is told of each field with a computed default.
type defaultVisitor interface {
	text(field *string, want string)
	number(field *int, want int)
}

// defaultFill sets what is absent, defaultDrop removes what says no more than
// its default.
type (
	defaultFill struct{}
	defaultDrop struct{}
)

func (defaultFill) text(field *string, want string) {
	if *field == "" {
		*field = want
	}
}

func (defaultFill) number(field *int, want int) {
	if *field == 0 {
		*field = want
	}
}

func (defaultDrop) text(field *string, want string) {
	if *field == want {
		*field = ""
	}
}

func (defaultDrop) number(field *int, want int) {
	if *field == want {
		*field = 0
	}
}

// computedDefaults visits the fields whose defaults follow from others. The
// constant defaults are filled in.
func computedDefaults(a *Application, visit defaultVisitor) {
	shared := volumeUsers(a)
	for i := range a.Volumes {
		v := &a.Volumes[i]
		if v.Kind == VolumePersistent {
			mode := "ReadWriteOnce"
			if shared[v.Name] > 1 {
				mode = "ReadWriteMany"
			}
			visit.text(&v.AccessMode, mode)
			visit.text(&v.Scope, "component")
		}
	}
	for i := range a.Components {
		c := &a.Components[i]
		for j := range c.Ports {
			visit.number(&c.Ports[j].ServicePort, c.Ports[j].Port)
		}
		for j := range c.Needs {
			visit.text(&c.Needs[j].Name, c.Needs[j].Component)
		}
		for j := range c.Volumes {
			computedVolume(c, &c.Volumes[j], visit)
		}
		if c.Scale != nil && c.Scale.Auto != nil {
			for j := range c.Scale.Auto.Metrics {
				m := &c.Scale.Auto.Metrics[j]
				visit.text(&m.Name, metricType(*m))
			}
		}
	}
	for i := range a.Routes {
		if h := a.Routes[i].HTTP; h != nil {
			for j := range h.Rules {
				visit.text(&h.Rules[j].Name, h.Rules[j].Path)
			}
		}
	}
}

func computedVolume(c *Component, v *Volume, visit defaultVisitor) {
	if v.Kind != VolumePersistent {
		return
	}
	scope, mode := "component", "ReadWriteOnce"
	if c.Kind == KindStateful {
		scope = "replica"
	}
	if c.Kind == KindDaemon { // a pod on every node
		mode = "ReadWriteMany"
	}
	visit.text(&v.Scope, scope)
	visit.text(&v.AccessMode, mode)
}

// volumeUsers counts how many may mount each volume of the application: its
// components, a daemon for many. Replicas do not count: scaling must not
// change what a claim is.
func volumeUsers(a *Application) map[string]int {
	users := map[string]int{}
	for i := range a.Components {
		c := &a.Components[i]
		own := map[string]bool{}
		for _, v := range c.Volumes {
			own[v.Name] = true
		}
		seen := map[string]bool{}
		for _, box := range containersOf(c) {
			for _, m := range box.Mounts {
				if own[m.Volume] || seen[m.Volume] {
					continue
				}
				seen[m.Volume] = true
				users[m.Volume]++
				if c.Kind == KindDaemon {
					users[m.Volume]++
				}
			}
		}
	}
	return users
}

// containersOf are the containers of a component, the main one first.
func containersOf(c *Component) []*Container {
	all := []*Container{&c.Container}
	for i := range c.InitContainers {
		all = append(all, &c.InitContainers[i].Container)
	}
	for i := range c.Sidecars {
		all = append(all, &c.Sidecars[i].Container)
	}
	return all
}
