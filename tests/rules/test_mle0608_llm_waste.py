HEAD = """
from transformers import AutoModelForCausalLM, AutoTokenizer
from fastapi import FastAPI
app = FastAPI()
tok = AutoTokenizer.from_pretrained("gpt2")
"""


def test_an_unbounded_answer(check, place):
    text = HEAD + "model = AutoModelForCausalLM.from_pretrained('gpt2')\nout = model.generate(**tok('a'))\n"
    assert check("MLE0608", {"a.py": text}) == []  # the options may be in there
    (finding,) = check("MLE0608", {"a.py": text.replace("**tok('a')", "ids")})
    assert place(finding) == ("a.py", 7)


def test_full_precision_above_a_billion(check, place):
    text = HEAD + "model = AutoModelForCausalLM.from_pretrained('meta-llama/Llama-2-7b-hf')\n"
    (finding,) = check("MLE0608", {"a.py": text})
    assert place(finding) == ("a.py", 6)
    assert check("MLE0608", {"a.py": text.replace("-hf'", "-hf', torch_dtype='auto'")}) == []
    assert check("MLE0608", {"a.py": text.replace("Llama-2-7b-hf", "opt-350m")}) == []
    assert check("MLE0608", {"a.py": text.replace("AutoModelForCausalLM.from", "AutoTokenizer.from")}) == []


def test_generation_in_a_plain_handler(check, place):
    text = HEAD + (
        "model = AutoModelForCausalLM.from_pretrained('gpt2')\n"
        "@app.post('/g')\ndef g(text: str):\n    return model.generate(tok(text), max_new_tokens=50)\n"
    )
    (finding,) = check("MLE0608", {"a.py": text})
    assert place(finding) == ("a.py", 9)


def test_a_generate_of_something_else(check):
    assert check("MLE0608", {"a.py": HEAD + "import faker\nfaker.Faker().generate(3)\n"}) == []
