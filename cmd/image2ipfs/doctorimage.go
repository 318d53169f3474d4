package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/image2ipfs/image2ipfs/ipfs/holders"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/setup/doctor"
)

// whereImage finds out who has the image that --image names.
func (o *doctorOptions) whereImage(ctx context.Context) doctor.Check {
	check := doctor.Check{Name: "image " + oci.Quoted(o.image), Status: doctor.Problem, Next: "image2ipfs where " + oci.Quoted(o.image) + "   # with --gateway, --peers, --public or --api of who may have it"}
	s, notes, err := o.searchImage(ctx)
	if err == nil {
		err = lacking(s)
	}
	if err != nil {
		check.Detail = oci.Quoted(err.Error())
		return check
	}
	var who []string
	for _, h := range s.Holders {
		if h.Has == holders.All || h.Has == holders.Some || h.Has == holders.Root {
			who = append(who, fmt.Sprintf("%s of it in %s %s", h.Has, h.Kind, h.Name))
		}
	}
	check.Detail = oci.Quoted(strings.Join(append(who, notes...), "; "))
	if !s.Known {
		check.Detail = "nobody says what it consists of; " + check.Detail
		return check
	}
	check.Status, check.Next = doctor.OK, ""
	return check
}

// searchImage looks for an image in everything that doctor is told of.
func (o *doctorOptions) searchImage(ctx context.Context) (s *holders.Search, notes []string, err error) {
	sources := &sourceOptions{storeOptions: o.storeOptions, gateways: o.gateways}
	all, err := sources.openAll(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	name, err := all.Find(ctx, o.image)
	if err != nil {
		return nil, nil, err
	}
	if sources.cache, err = all.own.Cache(0); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, sources.cache.Close()) }()
	from, err := sources.blocks(all)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if s, _, err = holders.New(ctx, from, name.Root); err != nil {
		return nil, nil, err
	}
	if err := searchHere(ctx, s, all, sources.cache); err != nil {
		return nil, nil, err
	}
	if err := searchOfServer(ctx, s, all.own.Path(), func(text string) { notes = append(notes, text) }); err != nil {
		return nil, nil, err
	}
	return s, notes, searchGateways(ctx, s, o.gateways)
}
