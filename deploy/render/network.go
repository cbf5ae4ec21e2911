package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) networkPolicy(c *appmodel.Component) {}
