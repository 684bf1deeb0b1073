"""How quantumd is built and installed: ``pip install .``"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
README = HERE / "README.md"

TEST = [
    "hypothesis>=6.100",
    "openapi-spec-validator>=0.7",
    "pytest>=8",
    "requests>=2.31",
    "schemathesis>=4",
    "treq>=24",
]
LINT = ["mypy>=1.11", "mypy-zope>=1.0.9", "ruff>=0.6", "towncrier>=23.11"]

setup(
    name="quantumd",
    version=re.search(r'__version__ = "(.+)"', (HERE / "quantumd" / "__init__.py").read_text())[1],
    description="Layer-2 networks, ports and attachments for one host, behind a REST API",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # twisted/plugins is a directory of drop-ins and no package: it has no __init__.py, and must not have one.
    packages=[*find_packages(include=["quantumd", "quantumd.*"]), "twisted.plugins"],
    package_data={"quantumd": ["py.typed"]},
    data_files=[
        ("share/doc/quantumd", ["quantumd.conf.example"]),
        ("lib/systemd/system", ["data/quantumd.service"]),
        ("lib/tmpfiles.d", ["data/tmpfiles/quantumd.conf"]),
        ("lib/sysusers.d", ["data/sysusers/quantumd.conf"]),
        ("share/bash-completion/completions", ["data/completion/quantumctl.bash"]),
        ("share/zsh/site-functions", ["data/completion/_quantumctl"]),
    ],
    install_requires=[
        "attrs>=23.2",
        "cattrs>=23.2",
        "defusedxml>=0.7.1",
        "jsonschema-rs>=0.60",
        "jsonschema-specifications>=2023.11.2",
        "klein>=23.12",
        "orjson>=3.9",
        "ovs>=3.3",
        "prometheus-client>=0.20",
        "pyroute2>=0.9.1",
        "referencing>=0.30",
        "rpds-py>=0.18",
        "twisted[tls]>=25.5",
        "werkzeug>=3.0",
        "zope.interface>=6.2",
    ],
    extras_require={"test": TEST, "dev": [*TEST, *LINT]},
    entry_points={"console_scripts": ["quantumctl = quantumd.cli.main:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
)
