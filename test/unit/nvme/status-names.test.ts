import assert from "node:assert/strict";
import { statusName } from "#lib/nvme/status.js";

/**
 * NVMe 1.4 §4.6.1.2 as it stands there, then what revision 2.0 and its NVM command set have
 * added: type, and a line for each code.
 */
const SPECIFICATION: [title: string, type: number, text: string][] = [
  [
    "generic command status (§4.6.1.2.1)",
    0,
    `00 Successful Completion
     01 Invalid Command Opcode
     02 Invalid Field in Command
     03 Command ID Conflict
     04 Data Transfer Error
     05 Commands Aborted due to Power Loss Notification
     06 Internal Error
     07 Command Abort Requested
     08 Command Aborted due to SQ Deletion
     09 Command Aborted due to Failed Fused Command
     0A Command Aborted due to Missing Fused Command
     0B Invalid Namespace or Format
     0C Command Sequence Error
     0D Invalid SGL Segment Descriptor
     0E Invalid Number of SGL Descriptors
     0F Data SGL Length Invalid
     10 Metadata SGL Length Invalid
     11 SGL Descriptor Type Invalid
     12 Invalid Use of Controller Memory Buffer
     13 PRP Offset Invalid
     14 Atomic Write Unit Exceeded
     15 Operation Denied
     16 SGL Offset Invalid
     18 Host Identifier Inconsistent Format
     19 Keep Alive Timer Expired
     1A Keep Alive Timeout Invalid
     1B Command Aborted due to Preempt and Abort
     1C Sanitize Failed
     1D Sanitize In Progress
     1E SGL Data Block Granularity Invalid
     1F Command Not Supported for Queue in CMB
     20 Namespace is Write Protected
     21 Command Interrupted
     22 Transient Transport Error
     23 Command Prohibited by Command and Feature Lockdown
     24 Admin Command Media Not Ready
     80 LBA Out of Range
     81 Capacity Exceeded
     82 Namespace Not Ready
     83 Reservation Conflict
     84 Format In Progress`,
  ],
  [
    "command specific status (§4.6.1.2.2)",
    1,
    `00 Completion Queue Invalid
     01 Invalid Queue Identifier
     02 Invalid Queue Size
     03 Abort Command Limit Exceeded
     05 Asynchronous Event Request Limit Exceeded
     06 Invalid Firmware Slot
     07 Invalid Firmware Image
     08 Invalid Interrupt Vector
     09 Invalid Log Page
     0A Invalid Format
     0B Firmware Activation Requires Conventional Reset
     0C Invalid Queue Deletion
     0D Feature Identifier Not Saveable
     0E Feature Not Changeable
     0F Feature Not Namespace Specific
     10 Firmware Activation Requires NVM Subsystem Reset
     11 Firmware Activation Requires Controller Level Reset
     12 Firmware Activation Requires Maximum Time Violation
     13 Firmware Activation Prohibited
     14 Overlapping Range
     15 Namespace Insufficient Capacity
     16 Namespace Identifier Unavailable
     18 Namespace Already Attached
     19 Namespace Is Private
     1A Namespace Not Attached
     1B Thin Provisioning Not Supported
     1C Controller List Invalid
     1D Device Self-test In Progress
     1E Boot Partition Write Prohibited
     1F Invalid Controller Identifier
     20 Invalid Secondary Controller State
     21 Invalid Number of Controller Resources
     22 Invalid Resource Identifier
     23 Sanitize Prohibited While Persistent Memory Region is Enabled
     24 ANA Group Identifier Invalid
     25 ANA Attach Failed
     26 Insufficient Capacity
     27 Namespace Attachment Limit Exceeded
     28 Prohibition of Command Execution Not Supported
     29 I/O Command Set Not Supported
     2A I/O Command Set Not Enabled
     2B I/O Command Set Combination Rejected
     2C Invalid I/O Command Set
     2D Identifier Unavailable
     80 Conflicting Attributes
     81 Invalid Protection Information
     82 Attempted Write to Read Only Range
     83 Command Size Limit Exceeded
     85 Incompatible Namespace or Format
     86 Fast Copy Not Possible
     87 Overlapping I/O Range
     89 Insufficient Resources
     B8 Zone Boundary Error
     B9 Zone Is Full
     BA Zone Is Read Only
     BB Zone Is Offline
     BC Zone Invalid Write
     BD Too Many Active Zones
     BE Too Many Open Zones
     BF Invalid Zone State Transition`,
  ],
  [
    "media and data integrity errors (§4.6.1.2.3)",
    2,
    `80 Write Fault
     81 Unrecovered Read Error
     82 End-to-end Guard Check Error
     83 End-to-end Application Tag Check Error
     84 End-to-end Reference Tag Check Error
     85 Compare Failure
     86 Access Denied
     87 Deallocated or Unwritten Logical Block
     88 End-to-End Storage Tag Check Error`,
  ],
  [
    "path related status (§4.6.1.2.4)",
    3,
    `00 Internal Path Error
     01 Asymmetric Access Persistent Loss
     02 Asymmetric Access Inaccessible
     03 Asymmetric Access Transition
     60 Controller Pathing Error
     70 Host Pathing Error
     71 Command Aborted By Host`,
  ],
];

describe("Names of status codes", () => {
  for (const [title, type, text] of SPECIFICATION)
    it(`${title}: each code, and no other`, () => {
      const names = new Map(
        text.split("\n").map((line) => {
          const [, code = "", name = ""] = /^ *(\w\w) (.+)$/.exec(line) ?? [];
          return [Number.parseInt(code, 16), name];
        }),
      );
      for (let code = 0; code <= 0xff; code++) {
        const name = statusName((type << 8) | code);
        const expected = names.get(code);
        if (expected === undefined) assert.match(name, /^(unknown|vendor specific) status/);
        else assert.equal(name, expected);
        // Retry delay, more and do-not-retry say nothing of the name.
        assert.equal(statusName(0x7800 | (type << 8) | code), name);
      }
    });
});
