// Package checkup says what is wrong with a Kafka and a ClickHouse for Wattline's purposes, and what to do.
//
// It owns the judgement: what is fine, what may cost something one day, and what would lose or double money or keep the
// engine from working. It does NOT own the questions (connectors/kafka and connectors/clickhouse ask), nor what is done
// about an answer.
//
// Invariants:
//
//   - U1 a check that could not be made is said, never left out.
//   - U2 what fails has what to do; nothing is judged by a clock that was not asked for.
package checkup
