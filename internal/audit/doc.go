// Package audit proves completeness.
//
//   - [Check] compares the events that arrived with those that were emitted. Tests use it.
//   - [Auditor] needs nothing but the events that arrived, such as an hour of a stream.
//
// # The rules of an Auditor
//
// An environment is what has one service.instance.id. Its events are numbered from 1 (seq),
// so the numbers prove what is missing. Package auditsql has the same rules in SQL.
//
//  1. An arrival of a number after its first one is a duplicate, and counts for nothing
//     else: a kinetel.loss that comes twice is one loss.
//  2. The numbers from the smallest to the largest that arrived are judged. Others are not:
//     the input may begin after the environment began, and end before it ended. So an
//     environment of which number 1 did not arrive starts before the input, unless a loss has
//     the numbers from 1 to the first arrival in its range. With [Options].Whole the judged
//     numbers begin at 1.
//  3. A judged number that did not arrive and that is in no loss's range is unexplained.
//  4. Losses whose ranges share a number are judged together: as one range, with the sum of
//     their counts, because nothing says which of them reports which number. Ranges that
//     only touch stay apart. Of the judged numbers that are missing in such a range, those
//     beyond the count are unexplained.
//  5. If the count is larger than the range has missing numbers, judged or not, the rest is
//     overreported: what was reported lost arrived, or was reported twice. That is no
//     finding: Kinesis can store a request whose answer does not arrive.
//  6. Unexplained numbers up to the spooled.events of the environment's final kinetel.report
//     are spooled, not unexplained: the report says that they were on the disk of the
//     environment. They arrive when Lambda starts it again, or never.
//  7. A kinetel.loss whose body is invalid (record.Event.Loss returns an error) explains
//     nothing.
//  8. An environment has ended if a kinetel.report with "final":true arrived. Otherwise it
//     still runs, was killed, or goes on after the input.
//
// An input is complete if it has an environment, and none has unexplained numbers. The options From and Settled, which only a stream needs, make fewer numbers judged.
package audit
