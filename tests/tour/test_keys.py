"""The tour accepts keys and addresses from a Windows `.env`, whose lines end in a carriage return."""

from pathlib import Path

import pytest

from offline_model.server import serve_in_thread
from tests.tour.test_tour import tour
from tour.runtime.frameworks import PYTHON


@pytest.mark.server
async def test_a_key_with_a_carriage_return_at_its_end(tmp_path: Path) -> None:
    url, key = serve_in_thread(), "sk-secret-of-the-tour"
    env = {
        **dict.fromkeys(("OPENAI_API_KEY", "GEMINI_API_KEY"), f"{key}\r"),
        **{"OPENAI_BASE_URL": f"{url}/v1\r", "OPENAI_MODEL": "gpt-5.4\r", "OPENAI_ORG_ID": "org\r"},
        **{"GOOGLE_GEMINI_BASE_URL": f"{url}\r\n", "GEMINI_MODEL": "gemini\r"},
    }
    frameworks = ",".join(framework.name for framework in PYTHON)
    process = await tour("--only", frameworks, "--step-latency", "0", home=tmp_path, env=env)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert said.count(": Approved:") == len(PYTHON)
    assert "Model: OpenAI and Google." in said
    assert key not in said
