package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) disruption(c *appmodel.Component) {}
