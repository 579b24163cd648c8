package nodetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Bounds of what a schedule does.
const (
	scheduleMin = 40 * time.Second // of trouble
	scheduleMax = 100 * time.Second
	maxLoss     = 0.3
	maxSkew     = time.Hour
	maxJitter   = 200 * time.Millisecond
)

// Schedule is a plan of trouble for a network, drawn from a seed before
// anything runs, so that a seed always means the same plan.
type Schedule struct {
	Nodes    int
	Topology string
	Skews    []time.Duration
	Events   []Event

	know [][]int // each node's bootstrap peers
}

// Event is one thing that happens, so long after the start.
type Event struct {
	At   time.Duration
	What string
	do   func(*Network)
}

// String is the schedule as a failing test prints it.
func (s Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d nodes, %s; clocks", s.Nodes, s.Topology)
	for _, d := range s.Skews {
		fmt.Fprintf(&b, " %+.0fs", d.Seconds())
	}
	for _, e := range s.Events {
		fmt.Fprintf(&b, "\n%8.3fs %s", e.At.Seconds(), e.What)
	}
	return b.String()
}

// planner draws a schedule. It keeps track of who is up as the events it has
// drawn so far will have it.
type planner struct {
	Schedule
	rng *rand.Rand
	at  time.Duration
	up  []bool
}

// Plan draws a schedule of 5 to 10 nodes in some connected topology.
func Plan(rng *rand.Rand) Schedule {
	p := &planner{rng: rng}
	p.Nodes = 5 + rng.IntN(6)
	p.topology()
	p.up = make([]bool, p.Nodes)
	for range p.Nodes {
		var skew time.Duration
		if p.chance(0.5) {
			skew = p.within(2*maxSkew) - maxSkew
		}
		p.Skews = append(p.Skews, skew)
	}
	for _, i := range rng.Perm(p.Nodes) {
		p.start(i)
		p.at += p.within(time.Second)
	}
	trouble := p.at + scheduleMin + p.within(scheduleMax-scheduleMin)
	for p.at < trouble {
		p.step()
		p.at += p.within(2 * time.Second)
	}
	return p.Schedule
}

func (p *planner) chance(share float64) bool { return p.rng.Float64() < share }

// within draws a time from [0, d).
func (p *planner) within(d time.Duration) time.Duration {
	return time.Duration(p.rng.Int64N(int64(d)))
}

func (p *planner) add(what string, do func(*Network)) {
	p.Events = append(p.Events, Event{At: p.at, What: what, do: do})
}

// topology draws who knows whom: always one connected network.
func (p *planner) topology() {
	p.know = make([][]int, p.Nodes)
	names := []string{"line", "ring", "star", "full", "tree"}
	p.Topology = names[p.rng.IntN(len(names))]
	for i := range p.Nodes {
		switch {
		case p.Topology == "ring":
			p.know[i] = []int{(i + p.Nodes - 1) % p.Nodes}
		case p.Topology == "full":
			for j := range p.Nodes {
				if j != i {
					p.know[i] = append(p.know[i], j)
				}
			}
		case i == 0:
		case p.Topology == "line":
			p.know[i] = []int{i - 1}
		case p.Topology == "star":
			p.know[i] = []int{0}
		case p.Topology == "tree":
			p.know[i] = []int{p.rng.IntN(i)}
		}
	}
}

func (p *planner) start(i int) {
	p.up[i] = true
	p.add(fmt.Sprintf("start %d", i), func(n *Network) { n.Start(i) })
}

// pair draws two different nodes.
func (p *planner) pair() (int, int) {
	perm := p.rng.Perm(p.Nodes)
	return perm[0], perm[1]
}

// some draws a node that is up, or down; false when there is none.
func (p *planner) some(up bool) (int, bool) {
	for _, i := range p.rng.Perm(p.Nodes) {
		if p.up[i] == up {
			return i, true
		}
	}
	return 0, false
}

// step draws one event: pings half of the time, else some trouble.
func (p *planner) step() {
	if p.chance(0.5) {
		p.pings()
		return
	}
	kinds := []func(){
		p.partition, p.heal, p.heal, p.cut, p.weather, p.weather, p.down, p.down, p.restart, p.restart,
		p.reset, p.reset, p.deaf, p.doubleDial, p.clock,
	}
	kinds[p.rng.IntN(len(kinds))]()
}

func (p *planner) pings() {
	i, ok := p.some(true)
	if !ok {
		return
	}
	count := 1
	if p.chance(0.2) {
		count = 2 + p.rng.IntN(50)
	}
	p.add(fmt.Sprintf("%d pings from %d", count, i), func(n *Network) {
		if err := n.Pings(i, count); err != nil {
			n.t.Error(err)
		}
	})
}

func (p *planner) partition() {
	perm := p.rng.Perm(p.Nodes)
	group := perm[:1+p.rng.IntN(p.Nodes-1)]
	slices.Sort(group)
	p.add(fmt.Sprintf("partition %v from the rest", group), func(n *Network) { n.Partition(group) })
}

func (p *planner) heal() { p.add("heal all cuts", (*Network).Heal) }

func (p *planner) cut() {
	a, b := p.pair()
	p.add(fmt.Sprintf("cut %d to %d", a, b), func(n *Network) { n.CutOneWay(a, b) })
}

// weather sets what goes wrong with packets everywhere, or makes it good.
func (p *planner) weather() {
	var loss, double float64
	var jitter time.Duration
	if p.chance(0.7) {
		loss, double, jitter = p.rng.Float64()*maxLoss, p.rng.Float64()*0.2, p.within(maxJitter)
	}
	p.add(fmt.Sprintf("weather: loss %.2f, copies %.2f, reordering over %v", loss, double, jitter), func(n *Network) {
		n.Loss(loss)
		n.Duplicate(double)
		n.Reorder(jitter)
	})
}

func (p *planner) down() {
	i, ok := p.some(true)
	if !ok {
		return
	}
	p.up[i] = false
	if p.chance(0.7) {
		p.add(fmt.Sprintf("crash %d", i), func(n *Network) { n.Crash(i) })
		return
	}
	p.add(fmt.Sprintf("stop %d", i), func(n *Network) { n.Stop(i) })
}

func (p *planner) restart() {
	if i, ok := p.some(false); ok {
		p.start(i)
	}
}

func (p *planner) reset() {
	a, b := p.pair()
	protocol := PubSub
	if p.chance(0.3) {
		protocol = CatchUp
	}
	p.add(fmt.Sprintf("reset %s streams between %d and %d", protocol, a, b), func(n *Network) { n.ResetStreams(a, b, protocol) })
}

func (p *planner) deaf() {
	a, b := p.pair()
	p.add(fmt.Sprintf("make %d deaf to %d", b, a), func(n *Network) { n.Deaf(a, b) })
}

func (p *planner) doubleDial() {
	a, b := p.pair()
	p.add(fmt.Sprintf("%d and %d dial each other", a, b), func(n *Network) { n.DoubleDial(a, b) })
}

func (p *planner) clock() {
	i, _ := p.pair()
	skew := p.within(2*maxSkew) - maxSkew
	p.add(fmt.Sprintf("set the clock of %d off by %.0fs", i, skew.Seconds()), func(n *Network) { n.ClockSkew(i, skew) })
}

// Play builds the schedule's network on n and lives through its trouble. At
// the end the wire is calm and every node runs.
func (n *Network) Play(s Schedule) {
	n.t.Helper()
	first := len(n.Nodes)
	if first != 0 {
		n.t.Fatal("a schedule needs an empty network")
	}
	for i, know := range s.know {
		n.Add(know...)
		n.ClockSkew(i, s.Skews[i])
	}
	began := n.Now()
	for _, e := range s.Events {
		// An event such as a double dial may itself take time.
		if wait := began + e.At - n.Now(); wait > 0 {
			time.Sleep(wait)
		}
		n.log.Info("schedule", "event", e.What)
		e.do(n)
	}
	n.Calm()
	n.StartAll()
	n.log.Info("schedule", "event", "calm")
}
