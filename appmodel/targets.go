package appmodel

import "fmt"

// targetsOf are the things that others refer to: their paths by id.
func targetsOf(a *Application) map[string]string {
	t := map[string]string{}
	root := Path{}
	for _, p := range a.Parameters {
		t["param/"+p.Name] = root.field("parameters").entry(p.Name).String()
	}
	for _, c := range a.Configs {
		at := root.field("configs").entry(c.Name)
		t["config/"+c.Name] = at.String()
		for _, i := range c.Items {
			t["config/"+c.Name+"/"+i.Name] = at.field("items").entry(i.Name).String()
		}
	}
	for _, s := range a.Secrets {
		at := root.field("secrets").entry(s.Name)
		t["secret/"+s.Name] = at.String()
		for _, i := range s.Items {
			t["secret/"+s.Name+"/"+i.Name] = at.field("items").entry(i.Name).String()
		}
		if s.Existing != "" {
			t["existing/"+s.Name] = at.String()
		}
	}
	for _, v := range a.Volumes {
		t["volume//"+v.Name] = root.field("volumes").entry(v.Name).String()
	}
	for _, r := range a.Routes {
		t["route/"+r.ID] = root.field("routes").entry(r.ID).String()
	}
	for i := range a.Components {
		c := &a.Components[i]
		at := root.field("components").entry(c.ID)
		t["component/"+c.ID] = at.String()
		for _, v := range c.Volumes {
			t["volume/"+c.ID+"/"+v.Name] = at.field("volumes").entry(v.Name).String()
		}
		for _, p := range c.Provides {
			t["provide/"+c.ID+"/"+p.Name] = at.field("provides").entry(p.Name).String()
		}
		for _, n := range c.Needs {
			t["need/"+c.ID+"/"+needKey(n)] = at.field("needs").entry(needKey(n)).String()
		}
		for _, p := range c.Ports {
			key := fmt.Sprint(p.Port)
			if p.Protocol != "" && p.Protocol != TCP {
				key += "/" + string(p.Protocol)
			}
			port := at.field("ports").entry(key).String()
			t["port/"+c.ID+"/"+fmt.Sprint(p.Port)] = port
			if p.Name != "" {
				t["port/"+c.ID+"/"+p.Name] = port
			}
		}
	}
	return t
}

func needKey(n Need) string {
	if n.Name != "" {
		return n.Name
	}
	return n.Component
}
