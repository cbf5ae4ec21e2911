package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) autoscale(c *appmodel.Component) {}
