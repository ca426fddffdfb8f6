package slab

// Ahead has work done on several goroutines, and takes what comes of it in the order in which it was given. The zero
// Ahead but for its fields; it is for one goroutine.
type Ahead[In, Out any] struct {
	Work  func(In) Out    // is called by many goroutines at once
	Take  func(Out) error // is called by the one that calls Give and Rest
	Most  int             // pieces of work under way
	doing []chan Out
}

// Give begins a piece of work. If there are many under way it first takes the oldest, whose error it returns.
func (a *Ahead[In, Out]) Give(in In) error {
	for len(a.doing) >= max(a.Most, 1) {
		if err := a.take(); err != nil {
			return err
		}
	}
	done := make(chan Out, 1) // who gives up is not waited for
	a.doing = append(a.doing, done)
	go func() { done <- a.Work(in) }()
	return nil
}

// Rest takes all that is under way, up to the first error, which it returns.
func (a *Ahead[In, Out]) Rest() error {
	for len(a.doing) > 0 {
		if err := a.take(); err != nil {
			return err
		}
	}
	return nil
}

func (a *Ahead[In, Out]) take() error {
	done := a.doing[0]
	a.doing = a.doing[1:]
	return a.Take(<-done)
}
