// Command wattline is the whole of Wattline: one program, a file per subcommand.
//
// It owns flags, the wiring of the packages, and what a person sees. It does not own any logic that another
// package could use: rating prices, rating/ocpi reads files, engine runs the pipe.
//
// Invariants:
//
//   - C1, exit codes: 0 when all is well, 1 when what was asked for failed or something is faulty, 2 when the
//     command line is wrong.
//   - C2: results go to standard output, everything else to standard error.
package main
