"""tests/talk/test_live.py - the dialogues of tests/talk against a running appliance; the files that cannot run live say why. Called by tests/run-all."""
import os
import subprocess
import sys

import lab

# Wrong passwords are slowed down by address, on purpose; here all come from one.
appliance = lab.Appliance(users=3, domain='office.test', settings={'auth_failure_delay': '0'})
here = lab.HERE
status = subprocess.run([sys.executable, os.path.join(here, 'tests/talk/run.py'), '--dir', appliance.dir, '--talk', os.path.join(here, lab.BUILD, 'tests/talk/talk'),
                         '--posthouse', os.path.join(lab.BIN, 'posthouse'), '--patience', str(10 * lab.SLOW), os.path.join(here, 'tests/talk')]).returncode
appliance.destroy()
sys.exit(status or len(lab.sanitizer_reports))
