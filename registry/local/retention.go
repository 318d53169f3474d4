package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// ErrPattern is matched by errors about patterns that make no sense.
var ErrPattern = errors.New("malformed pattern")

// Retention says what may go of what the stores keep: what Names, Match or Untagged
// choose, less what Keep and Older have stay.
type Retention struct {
	// Names are arguments as [Stores.FindAll] takes them. Match are patterns of
	// "repository:tag", or of the repository alone, in which * is any text without a
	// slash, ? one letter and [a-z] one of several: an image is chosen when all that it is
	// called at present match.
	Names, Match []string
	// Untagged leaves those of them alone that no local name is, and that were pushed,
	// or were a local name because they were published; never what was pinned by command.
	// Of a store without local names it leaves those whose names others have by now.
	// Without Names and Match it leaves those of all. Manifests that no root has are
	// among them, by their repositories, a day after they were pushed.
	Untagged bool
	// Keep has that many of the newest in each repository stay, and those of unknown age;
	// 0 for none. What a local name is now is newer than what none is.
	Keep int
	// Older has those stay that are not older than this, or of unknown age; 0 for none.
	// What a local name is now is as old as that name's meaning it.
	Older time.Duration
	// Meant has those stay that names which move mean.
	Meant Meant
}

// Staying is a root that was chosen, and stays for a reason.
type Staying struct {
	Match
	Why string // for humans
}

// Retain divides what a Retention chooses into what goes, oldest first, and what stays.
// Errors match [ErrPattern], or [ipfs.ErrNotFound] for a name that no root has, or are
// those of [Stores.Roots].
func (s Stores) Retain(ctx context.Context, r Retention, now time.Time) (going []Match, staying []Staying, err error) {
	c := &chooser{Retention: r, s: s}
	if err := c.read(ctx); err != nil {
		return nil, nil, err
	}
	chosen, err := c.chosen(ctx)
	if err != nil {
		return nil, nil, err
	}
	count := map[string]int{} // of repositories, from the newest on
	for _, m := range slices.Backward(chosen) {
		why := c.keeps(m, count)
		if m.Loose != nil && isAwaited(m.Loose, now) {
			why = "an index that lists it may be to come: it was pushed in the last 24 hours"
		}
		if why == "" {
			why = c.called(m)
		}
		if name := r.Meant[m.CID.KeyString()]; why == "" && name != "" {
			why = "the name " + name + " means it"
		}
		if why == "" && c.age(m.Kept).IsZero() && c.byAge() {
			why = unknownAge
		}
		if why == "" && r.Older > 0 {
			why = tooYoung(c.age(m.Kept), now.Add(-r.Older))
		}
		if why == "" {
			going = append(going, m)
		} else {
			staying = append(staying, Staying{m, why})
		}
	}
	slices.Reverse(going)
	slices.Reverse(staying)
	return going, staying, nil
}

// unknownAge is why a root stays that an older one may be, or a newer.
const unknownAge = "no store says how old it is"

func tooYoung(age, before time.Time) string {
	switch {
	case age.IsZero():
		return unknownAge
	case age.After(before):
		return "it is not that old"
	}
	return ""
}

// chooser finds what a Retention is about.
type chooser struct {
	Retention
	s        Stores
	kept     []Kept              // newest last, and those last that a local name is
	hasNames bool                // there are local names
	is       pushed.Standing     // of these
	newest   map[string]Kept     // by name, where there are no local names
	byName   map[string]ref.Name // of roots that Names means, by [cid.Cid.KeyString]
}

func (c *chooser) read(ctx context.Context) (err error) {
	for _, pattern := range c.Match {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%w %q: expected such as 'app:pr-*', 'team/*' or 'app:[0-9]*'", ErrPattern, pattern)
		}
	}
	if c.kept, err = c.s.byAge(ctx); IsFatal(err) {
		return err
	}
	if c.Untagged {
		loose, err := c.s.Loose(ctx)
		if IsFatal(err) {
			return err
		}
		c.kept = append(c.kept, slices.DeleteFunc(loose, func(k Kept) bool { return k.Loose.Needed })...)
	}
	c.is = pushed.Standing{Current: map[string][]string{}, Since: map[string]time.Time{}, Published: map[string]bool{}}
	for _, names := range c.s.registries() {
		c.hasNames = true
		is, err := names.Standing(ctx)
		if err != nil {
			return err
		}
		for root, of := range is.Current {
			c.is.Current[root] = append(c.is.Current[root], of...)
		}
		for root, at := range is.Since {
			if c.is.Since[root].Before(at) {
				c.is.Since[root] = at
			}
		}
		maps.Copy(c.is.Published, is.Published)
	}
	c.newest = map[string]Kept{}
	for _, k := range c.kept {
		for _, n := range k.Names {
			c.newest[n] = k
		}
	}
	slices.SortStableFunc(c.kept, func(a, b Kept) int {
		return cmp.Or(cmp.Compare(c.rank(a), c.rank(b)), c.age(a).Compare(c.age(b)))
	})
	return nil
}

// rank has what a local name is now stand above what none is: that was superseded,
// although it may have been published later.
func (c *chooser) rank(k Kept) int { return min(len(c.is.Current[k.CID.KeyString()]), 1) }

// age is since when a root is what it is: since it was published, or since the last of
// the local names that are it now came to mean it; zero where nobody knows.
func (c *chooser) age(k Kept) time.Time {
	if since := c.is.Since[k.CID.KeyString()]; since.After(k.Published) {
		return since
	}
	return k.Published
}

// chosen are what Names, Match and Untagged choose, newest last.
func (c *chooser) chosen(ctx context.Context) (all []Match, err error) {
	c.byName = map[string]ref.Name{}
	for _, arg := range c.Names {
		found, err := c.s.FindAllListed(ctx, arg)
		if errors.Is(err, ipfs.ErrNotFound) && slices.ContainsFunc(c.kept, func(k Kept) bool { return c.isIn(k, arg) }) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if m.Store == nil {
				return nil, NotPublished(m.Name.Root)
			}
			c.byName[m.CID.KeyString()] = m.Name
		}
	}
	for _, k := range c.kept {
		name, named := c.byName[k.CID.KeyString()]
		if !named {
			name = ref.Name{Root: k.CID}
		}
		named = named || slices.ContainsFunc(c.Names, func(arg string) bool { return c.isIn(k, arg) })
		every := len(c.Names)+len(c.Match) == 0
		if (every || named || slices.ContainsFunc(append(c.live(k), c.names(k)...), c.matches)) && (!c.Untagged || c.untagged(k)) {
			all = append(all, Match{name, k})
		}
	}
	return all, nil
}

// isIn tells whether it is a manifest that no root has, of a repository that was named.
func (c *chooser) isIn(k Kept, arg string) bool { return k.Loose != nil && k.Loose.Repository == arg }

// names is what a root was ever called; of a manifest that no root has its repository.
func (c *chooser) names(k Kept) []string {
	if k.Loose != nil {
		return []string{k.Loose.Repository}
	}
	return k.Names
}

// live is what a root is called at present.
func (c *chooser) live(k Kept) []string {
	if c.hasNames {
		return slices.Clone(c.is.Current[k.CID.KeyString()])
	}
	return slices.Clone(k.Names)
}

// untagged tells whether a root is nobody's by now. What a root happens to be called tells
// nothing where there are local names: another machine's image may have the same name.
func (c *chooser) untagged(k Kept) bool {
	switch {
	case k.Pinned:
		return false
	case c.hasNames:
		return len(c.live(k)) == 0 && (k.Pushed || c.is.Published[k.CID.KeyString()])
	}
	mine := func(name string) bool { return c.newest[name].CID.Equals(k.CID) }
	return len(k.Names) > 0 && !slices.ContainsFunc(k.Names, mine)
}

// byAge tells whether it is decided by their ages which of several roots go.
func (c *chooser) byAge() bool { return c.Keep > 0 || c.Untagged && !c.hasNames }

// matches tells whether a name is like one of the patterns.
func (c *chooser) matches(name string) bool {
	repository, tag, _ := ref.CutTag(name)
	return slices.ContainsFunc(c.Match, func(pattern string) bool {
		of, tags, tagged := strings.Cut(pattern, ":")
		is, _ := path.Match(of, repository)
		if tagged && is {
			is, _ = path.Match(tags, tag)
		}
		return is
	})
}

// keeps tells whether a root is among the newest of a repository, of those whose age is
// known; they are asked about from the newest on. What a root was called counts where it
// has no name at present.
func (c *chooser) keeps(m Match, count map[string]int) (why string) {
	if c.Keep == 0 || c.age(m.Kept).IsZero() {
		return ""
	}
	repositories := map[string]bool{}
	names := c.live(m.Kept)
	if len(names) == 0 {
		names = c.names(m.Kept)
	}
	for _, name := range names {
		if len(c.Match) == 0 || c.matches(name) {
			repository, _, _ := ref.CutTag(name)
			repositories[repository] = true
		}
	}
	if len(repositories) == 0 {
		repositories[""] = true
	}
	for repository := range repositories {
		if count[repository]++; count[repository] <= c.Keep {
			why = "one of the newest"
		}
	}
	return why
}

// called tells of a name that a root has beside those that match.
func (c *chooser) called(m Match) string {
	if _, named := c.byName[m.CID.KeyString()]; named || len(c.Match) == 0 {
		return ""
	}
	for _, name := range c.live(m.Kept) {
		if !c.matches(name) {
			return "it is " + oci.Quoted(name) + ", too"
		}
	}
	return ""
}
