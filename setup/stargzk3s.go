// K3s, whose containerd has stargz-snapshotter built in: config.yaml chooses it, and
// it asks whom registries.yaml names.

package setup

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// inK3s are the options by which K3s's own files are found.
func (o Options) inK3s() Options {
	o.Engine = "k3s"
	return o
}

// stargzInK3s plans config.yaml.
func (p *Plan) stargzInK3s(o Options) error {
	o = o.inK3s()
	daemons, err := o.rancherDaemons()
	if err != nil {
		return err
	}
	paths, err := o.rancherConfig(daemons)
	if err != nil {
		return err
	}
	path := o.at(paths[0])
	text, err := p.place.read(path)
	if err != nil {
		return err
	}
	after := stargzMarks.cut(text)
	if !p.Undo {
		value, where, err := o.k3sSnapshotter()
		if err != nil {
			return err
		}
		if value != "" && value != "stargz" {
			return fmt.Errorf("%w: %s chooses the snapshotter %q: take that out first, K3s has one for all of its images", ErrConfig, where, value)
		}
		if value == "" || where == path {
			after, err = p.chooseStargz(path, text, after)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
		}
		p.note("K3s pulls all images of this node anew, and those without an index as a whole; layers come by the endpoints of registries.yaml (image2ipfs setup k3s)")
	}
	restart, err := o.rancherRestart()
	if err != nil {
		return err
	}
	p.Next = []string{restart}
	return p.textChange(path, text, after, p.Undo)
}

// chooseStargz adds the line, unless the user has written it.
func (p *Plan) chooseStargz(path string, text, plain []byte) ([]byte, error) {
	before, err := yamlTree(plain)
	if err != nil || before["snapshotter"] == "stargz" {
		return plain, err
	}
	made, err := p.madeLine(path, text)
	if err != nil {
		return nil, err
	}
	after := stargzMarks.insert(plain, len(plain), "", append(made, "snapshotter: stargz")...)
	tree, err := yamlTree(after)
	if err != nil || tree["snapshotter"] != "stargz" || !sameBut(before, tree, "snapshotter") {
		return nil, byHand(errByHand, 1, "snapshotter: stargz at the top")
	}
	return after, nil
}

func yamlTree(text []byte) (tree map[string]any, err error) {
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("not YAML, or no keys and values: %w", err)
	}
	return tree, nil
}

// k3sSnapshotter is the snapshotter that K3s is told to use, and where; empty when
// nothing does.
func (o Options) k3sSnapshotter() (value, where string, err error) {
	return o.rancherSetting(func(s rancherSettings) string { return s.Snapshotter }, "", "--snapshotter")
}
