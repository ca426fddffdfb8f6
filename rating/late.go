package rating

// Uncut says that the interval before the newest Point was priced in one piece: no boundary, slice or change lies
// in it, and no rule looks at power or current. A reading that comes late and was measured inside such an
// interval, with a register between its ends and the same state, changes no price.
func (p *Plan) Uncut(s *State) bool { return p.plain && s.rowMs <= s.PrevMs }
